"""The workspace of a run: real Git and DVC, in a small repository with uncommitted changes."""

import contextlib
import json
import os
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml
from dvc_airflow import workspace
from dvc_airflow.process import Blocked, Command
from dvc_airflow.workspace import OverrideError

from tests.support.checkouts import BIN, environment
from tests.support.repositories import PARAMS, PIPELINE, Repository


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
