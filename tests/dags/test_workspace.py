"""The workspace of a run: real Git and DVC, in a small repository with uncommitted changes."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml
from dvc_airflow import workspace
from dvc_airflow.process import Blocked, Command
from dvc_airflow.workspace import OverrideError

from tests.support.checkouts import BIN, ROOT, environment

PARAMS = """\
seed: 1   # a comment
lr: 1e-3
names: [a, b]
projects:
  one: {epochs: 3, until: null}
"""
COPY = f"{sys.executable} -c \"import sys; open(sys.argv[2], 'w').write(open(sys.argv[1]).read() + sys.argv[3])\""
PIPELINE = {
    "stages": {
        "prepare": {"cmd": f"{COPY} input ready x", "deps": ["input"], "outs": ["ready"]},
        "train": {
            "cmd": f"{COPY} params.yaml model.json ''",
            "deps": ["ready"],
            "params": ["projects.one"],
            "outs": ["model.json"],
        },
        "other": {"cmd": f"{COPY} third elsewhere y", "deps": ["third"], "outs": ["elsewhere"]},
    }
}


class Repository:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, *command: str, folder: Path | None = None) -> str:
        done = subprocess.run(
            command, cwd=folder or self.folder, env=environment(), capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def dvc(self, *arguments: str, folder: Path | None = None) -> str:
        return self.run(str(BIN / "dvc"), *arguments, folder=folder)

    def state(self) -> dict[str, bytes]:
        """The state that a run must not change: Git's status, and the files."""
        names = ("params.yaml", "dvc.lock", "input", "new.txt", "ready", "model.json")
        files = {name: (self.folder / name).read_bytes() for name in names if (self.folder / name).exists()}
        return {**files, "git status": self.run("git", "status", "--porcelain").encode()}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with one commit, in which the pipeline has run."""
    repository = Repository(tmp_path_factory.mktemp("made"))
    repository.run("git", "init", "-q", "-b", "main")
    for key, value in (("user.name", "test"), ("user.email", "test@example.org")):
        repository.run("git", "config", key, value)
    repository.dvc("init", "-q")
    (repository.folder / "params.yaml").write_text(PARAMS)
    (repository.folder / "input").write_text("data\n")
    (repository.folder / "third").write_text("of another project\n")
    (repository.folder / ".gitignore").write_text("/ready\n/model.json\n/elsewhere\n")
    (repository.folder / "dvc.yaml").write_text(yaml.safe_dump(PIPELINE))
    repository.run("git", "add", "-A")
    repository.run("git", "commit", "-q", "-m", "first")
    repository.dvc("repro", "-q")
    return repository.folder


@pytest.fixture
def repository(made: Path, tmp_path: Path) -> Repository:
    """A copy with an uncommitted change, a new file, and dvc.lock, which is never committed."""
    shutil.copytree(made, tmp_path / "repository", symlinks=True)
    found = Repository(tmp_path / "repository")
    (found.folder / "input").write_text("other data\n")
    (found.folder / "new.txt").write_text("new\n")
    found.dvc("repro", "-q")
    return found


def clone(repository: Repository, *overrides: str, run: str = "one manual__2026") -> Path:
    root = repository.folder
    return workspace.clone(root, run, workspace.head(root), list(overrides))


# ---------------------------------------------------------------- overrides


@pytest.mark.parametrize(
    ("override", "key", "value"),
    [
        ("seed=7", "seed", 7),
        ("projects.one.epochs=5", "projects.one.epochs", 5),
        (" projects.one.epochs = 5 ", "projects.one.epochs", 5),
        ("lr=0.5", "lr", 0.5),
        ("lr=2e-4", "lr", 2e-4),
        ("names=[c, d]", "names", ["c", "d"]),
        ("projects.one.until=null", "projects.one.until", None),
        ("projects.one.until=a=b", "projects.one.until", "a=b"),
        ("projects.one.until=2020-01-31", "projects.one.until", "2020-01-31"),
        ("seed=", "seed", None),
        ("+projects.two.epochs=1", "projects.two", {"epochs": 1}),
        ("~projects.one.until", "projects.one", {"epochs": 3}),
    ],
)
def test_an_override_sets_one_key_as_hydra_reads_it(override: str, key: str, value: Any) -> None:
    from omegaconf import OmegaConf

    found = OmegaConf.to_container(OmegaConf.create(workspace.override(PARAMS, [override])))
    before = OmegaConf.to_container(OmegaConf.create(PARAMS))
    for name in key.split("."):
        found = found[name]  # type: ignore[index,call-overload]
    assert found == value and type(found) is type(value)
    changed = OmegaConf.to_container(OmegaConf.create(workspace.override(PARAMS, [override])))
    top = key.partition(".")[0]
    assert {**changed, top: None} == {**before, top: None}, "only this one"  # type: ignore[dict-item]


def test_without_overrides_params_are_unchanged() -> None:
    assert workspace.override(PARAMS, []) == PARAMS


@pytest.mark.parametrize(
    ("override", "output"),
    [
        ("epochs", "expected key=value, such as"),
        ("=3", "expected key=value"),
        ("~seed=3", "expected key=value"),
        ("sed=3", "params.yaml has no 'sed'; allowed: seed, lr, names, projects"),
        ("projects.one.epoch=3", "projects.one has no 'epoch'; allowed: epochs, until"),
        ("projects.two.epochs=3", "projects has no 'two'; allowed: one"),
        ("seed.deep=3", "seed has no 'deep'; allowed: nothing, it is a value"),
        ("+seed.deep=3", "seed has no 'deep'; allowed: nothing, it is a value"),
        ("~gone", "params.yaml has no 'gone'"),
        ("names=[a", "is not a YAML value"),
    ],
)
def test_an_invalid_override_names_the_allowed_keys(override: str, output: str) -> None:
    with pytest.raises(OverrideError) as caught:
        workspace.override(PARAMS, [override])
    assert output in str(caught.value) and repr(override) in str(caught.value)


def test_every_key_of_params_can_be_overridden() -> None:
    text = (ROOT / "params.yaml").read_text()
    changed = yaml.safe_load(workspace.override(text, ["seed=7"]))
    assert changed == {**yaml.safe_load(text), "seed": 7}
    assert list(changed["projects"]) == list(yaml.safe_load(text)["projects"]), "in order"


# ---------------------------------------------------------------- clones


@pytest.mark.slow
def test_a_clone_has_uncommitted_changes_too(repository: Repository) -> None:
    before = repository.state()
    folder = clone(repository, "projects.one.epochs=5")
    for name in ("input", "new.txt", "dvc.lock", "dvc.yaml"):
        assert (folder / name).read_bytes() == (repository.folder / name).read_bytes(), name
    assert yaml.safe_load((folder / "params.yaml").read_text())["projects"]["one"]["epochs"] == 5
    assert repository.state() == before


@pytest.mark.slow
def test_unaffected_stages_stay_cached(repository: Repository) -> None:
    folder = clone(repository, "projects.one.epochs=5")
    output = repository.dvc("repro", folder=folder)
    assert "Stage 'prepare' didn't change" in output or "Stage 'prepare' is cached" in output
    assert "Running stage 'train'" in output
    assert "epochs: 5" in (folder / "model.json").read_text()


@pytest.mark.slow
def test_a_file_removed_from_the_checkout_is_not_in_the_clone(repository: Repository) -> None:
    (repository.folder / ".dvcignore").unlink()
    assert not (clone(repository) / ".dvcignore").exists()


@pytest.mark.slow
def test_tasks_of_a_run_share_a_clone(repository: Repository) -> None:
    with ThreadPoolExecutor(4) as pool:
        folders = list(pool.map(lambda _: clone(repository, "seed=7"), range(4)))
    assert len(set(folders)) == 1
    assert [path.name for path in workspace.clones(repository.folder).iterdir()] == [folders[0].name]
    (folders[0] / "mark").touch()
    assert (clone(repository, "seed=7") / "mark").exists(), "a retried task continues in it"


@pytest.mark.slow
def test_each_run_has_its_own_clone(repository: Repository) -> None:
    assert clone(repository, run="one manual__1") != clone(repository, run="one manual__2")


@pytest.mark.slow
def test_an_invalid_override_leaves_no_clone(repository: Repository) -> None:
    with pytest.raises(OverrideError):
        clone(repository, "sed=7")
    assert list(workspace.clones(repository.folder).iterdir()) == []


@pytest.mark.slow
def test_a_clone_keeps_the_local_remote(repository: Repository) -> None:
    repository.dvc("remote", "add", "--local", "-q", "-d", "store", str(repository.folder.parent / "store"))
    assert "store" in repository.dvc("remote", "list", folder=clone(repository))


@pytest.mark.slow
def test_another_machines_commit_is_cloned_without_local_changes(repository: Repository) -> None:
    root = repository.folder
    first = workspace.head(root)
    repository.run("git", "commit", "-q", "-am", "second")
    folder = workspace.clone(root, "one other", first, [])
    assert (folder / "input").read_text() == "data\n"
    with pytest.raises(OSError, match=r"found no commit 000.*git fetch"):
        workspace.clone(root, "one gone", "0" * 40, [])


@pytest.mark.slow
def test_a_saved_run_is_an_experiment_and_leaves_the_checkout(repository: Repository) -> None:
    before = repository.state()
    folder = clone(repository, "projects.one.epochs=5", "projects.one.until=2020-01-31")
    repository.dvc("repro", "-q", "train", folder=folder)
    assert not (folder / "elsewhere").exists(), "unrelated to the run"
    stages, dvc = ["prepare", "train"], str(BIN / "dvc")
    name = workspace.save(repository.folder, folder, "one manual__2026", stages, dvc, environment())
    assert not folder.exists()
    assert repository.state() == before
    shown = json.loads(repository.dvc("exp", "show", "--json"))
    found = {one["name"]: one["revs"][0]["data"] for base in shown for one in base.get("experiments") or []}
    assert set(found) == {name}
    assert "refs/exps/exec" not in repository.run("git", "for-each-ref"), "DVC's own bookkeeping"
    assert found[name]["params"]["params.yaml"]["data"]["projects"]["one"] == {"epochs": 5, "until": "2020-01-31"}
    repository.run("git", "stash", "-q", "-u")
    repository.dvc("exp", "apply", "-q", name)
    assert "epochs: 5" in (repository.folder / "model.json").read_text(), "its outputs are in the shared cache"


@pytest.mark.slow
def test_old_clones_of_failed_runs_are_removed(repository: Repository) -> None:
    old, new = clone(repository, run="one old"), clone(repository, run="one new")
    queued = workspace.clones(repository.folder) / "tmpabc"  # DVC's own
    queued.mkdir()
    long_ago = time.time() - workspace.ABANDONED - 60
    os.utime(old, (long_ago, long_ago))
    os.utime(queued, (long_ago, long_ago))
    workspace.prune(repository.folder)
    assert (old.exists(), new.exists(), queued.exists()) == (False, True, True)


# ---------------------------------------------------------------- dvc.lock


@pytest.mark.slow
def test_merging_keeps_entries_of_other_machines_and_running_stages(repository: Repository) -> None:
    """Repeated merges while `dvc repro` keeps writing dvc.lock."""
    root, stop = repository.folder, threading.Event()
    done: list[int] = []

    def reproduce() -> None:
        while not stop.is_set():
            (root / "input").write_text(f"{len(done)}\n")
            with contextlib.suppress(Blocked):  # like a task, which then retries
                Command(root, environment(), lambda line: None).run([str(BIN / "dvc"), "repro", "--force"])
                done.append(1)

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(reproduce)
        number = 0
        while (len(done) < 3 or number < 11) and not running.done():
            workspace.merge(
                root, {f"far@{number}": {"cmd": "far", "outs": [{"path": f"far{number}", "md5": f"{number:030d}e5"}]}}
            )
            number += 1
            time.sleep(0.2)
        stop.set()
        running.result()
    lock = yaml.safe_load((root / "dvc.lock").read_text())
    assert number > 10
    assert {*lock["stages"]} == {*PIPELINE["stages"], *(f"far@{one}" for one in range(number))}
    assert lock["schema"] == "2.0"
    workspace.merge(root, {"prepare": lock["stages"]["prepare"]})
    assert yaml.safe_load((root / "dvc.lock").read_text()) == lock
    assert "didn't change" in repository.dvc("repro", "prepare")


@pytest.mark.slow
def test_a_lock_entry_is_what_dvc_wrote(repository: Repository, tmp_path: Path) -> None:
    entry = workspace.entry(repository.folder, "prepare")
    assert entry is not None and {out["path"] for out in entry["outs"]} == {"ready"}
    assert workspace.entry(repository.folder, "gone") is None
    assert workspace.entry(tmp_path, "prepare") is None


@pytest.mark.slow
def test_waiting_for_another_dvc_process_times_out(repository: Repository) -> None:
    late = workspace.dvc_locked(repository.folder, seconds=0.2)
    with workspace.dvc_locked(repository.folder), pytest.raises(OSError, match="another DVC process"), late:
        pass
