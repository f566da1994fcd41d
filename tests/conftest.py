"""Fixtures: checkouts to run stages in. Stage tests run as a user would run them, in processes of their own."""

import contextlib
import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
RUN = os.environ.setdefault("TEST_RUN", uuid.uuid4().hex[:12])  # the same in all workers


def pytest_sessionfinish(session: pytest.Session) -> None:
    if not hasattr(session.config, "workerinput") and shutil.which("docker"):
        import engine

        engine.remove_images()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """TEST_SHARD=2/3: the second third of the files, so that several machines share the suite."""
    number, _, total = os.environ.get("TEST_SHARD", "1/1").partition("/")
    mine = {item for item in items if zlib.crc32(item.path.name.encode()) % int(total) == int(number) - 1}
    config.hook.pytest_deselected(items=[item for item in items if item not in mine])
    items[:] = [item for item in items if item in mine]


def environment(**changes: str) -> dict[str, str]:
    """The caller's environment, with this interpreter first and nothing that points to a store of the caller's."""
    kept = {
        k: v for k, v in os.environ.items() if k not in ("MLFLOW_TRACKING_URI", "TRACKING", "TRAINER", "PYTHONPATH")
    }
    # Two workers share the cores: threads that wait had better sleep than spin.
    return {
        "OMP_WAIT_POLICY": "passive",
        **kept,
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "PYTHONUNBUFFERED": "1",
        **changes,
    }


def checkout(folder: Path) -> Path:
    """A clean git clone of the working tree as it stands, uncommitted changes included, with DVC set up."""
    names = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    ).stdout.split("\0")
    for name in filter(None, names):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    git = ["git", "-c", "user.name=test", "-c", "user.email=test@example.org"]
    for command in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-q", "-m", "checkout"]):
        subprocess.run([*git, *command], cwd=folder, check=True)
    for key, value in (("user.name", "test"), ("user.email", "test@example.org")):
        subprocess.run(["git", "config", key, value], cwd=folder, check=True)
    return folder


class Checkout:
    """A clone in which commands run. `stage` runs one stage; both give the finished process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(
        self, *command: str, check: bool = True, timeout: float = 300, **env: str
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            command, cwd=self.folder, env=environment(**env), capture_output=True, text=True, timeout=timeout
        )
        if check and done.returncode != 0:
            pytest.fail(
                f"{' '.join(command)} ended with {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
            )
        return done

    def stage(self, name: str, *overrides: str, **options: Any) -> subprocess.CompletedProcess[str]:
        return self.run("python", "-m", f"pipelines.{name}", *overrides, **options)

    def path(self, *parts: str) -> Path:
        return self.folder.joinpath(*parts)


@pytest.fixture
def clone(tmp_path: Path) -> Checkout:
    """A clone of its own for a test that changes files."""
    return Checkout(checkout(tmp_path / "clone"))


@pytest.fixture(scope="session")
def reproduced(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Checkout:
    """One clone in which `dvc repro` has run on the sample, shared by all workers. Nobody changes it."""
    base = tmp_path_factory.getbasetemp()
    folder = (base if worker_id == "master" else base.parent) / "reproduced"
    with FileLock(f"{folder}.lock"):
        clone = Checkout(folder)
        if not (folder / "artifacts" / "store.json").exists():
            Checkout(checkout(folder)).run("dvc", "repro", "-q", timeout=1500)
    return clone


@pytest.fixture
def copy_of(tmp_path: Path) -> Callable[[Checkout], Checkout]:
    """A copy of a clone with everything in it, to change at will."""

    def make(source: Checkout) -> Checkout:
        target = tmp_path / "copy"
        shutil.copytree(source.folder, target, symlinks=True)
        return Checkout(target)

    return make


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """The address of a server that speaks S3."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """boto3 and everything above it talk to `s3_server`."""
    for name, value in {
        "AWS_ENDPOINT_URL": s3_server,
        "AWS_ACCESS_KEY_ID": "dummy",
        "AWS_SECRET_ACCESS_KEY": "dummy",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)


class Running:
    """A server in a process of its own. Every request has a connection of its own."""

    def __init__(self, process: "subprocess.Popen[str]", address: str, log: Path) -> None:
        self.process, self.address, self.log = process, address, log
        self.pid = process.pid

    def get(self, path: str) -> str:
        with urllib.request.urlopen(self.address + path, timeout=30) as response:
            return str(response.read().decode())

    def post(self, path: str, content: Any, patience: float = 0.0, **headers: str) -> int:
        """The status. A connection that breaks is tried again for so many seconds."""
        headers = {"Content-Type": "application/json", **headers}
        until = time.monotonic() + patience
        while True:
            request = urllib.request.Request(self.address + path, json.dumps(content).encode(), headers)
            try:
                with urllib.request.urlopen(request, timeout=30) as response:
                    return int(response.status)
            except urllib.error.HTTPError as error:
                return error.code
            except OSError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.1)

    def children(self) -> set[int]:
        """The workers, where there are several."""
        import psutil

        found = psutil.Process(self.pid).children(recursive=True)
        return {one.pid for one in found if "spawn_main" in " ".join(one.cmdline())}

    def stderr(self) -> str:
        return self.log.read_text()


@contextlib.contextmanager
def serving(log: Path, bundles: str, *options: str, **env: str) -> Iterator[Running]:
    """`python -m serving` with these options, until the block ends; then SIGTERM, and what it left is written."""
    command = [sys.executable, "-m", "serving", "--port", "0", "--bundles", bundles, *options]
    with log.open("w") as errors:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment(**env), stdout=subprocess.PIPE, stderr=errors, text=True
        )
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("page "):
                break
        else:
            pytest.fail(f"the server did not start: {log.read_text()}")
        running = Running(process, line.split()[1].rstrip("/"), log)
        running.post("/health", None, patience=60)
        yield running
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


@pytest.fixture
def server(tmp_path: Path) -> Callable[..., contextlib.AbstractContextManager[Running]]:
    return functools.partial(serving, tmp_path / "server.log")


@pytest.fixture(scope="session")
def letters(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """artifacts/ with the tiny language model of tests/letters.py."""
    import letters

    from pipelines.mini_gpt import tokens

    return letters.bundle_of(tmp_path_factory.mktemp("letters"), tokens.characters(letters.LETTERS), "char")


@pytest.fixture(scope="session")
def writer(letters: Path) -> Any:
    """Its predictor."""
    from serving.bundle import Bundle, load_predictor

    return load_predictor(Bundle(letters / "mini_gpt" / "bundle"))


# ---------------------------------------------------------------- tests/deployments.py: what test_deploy_*.py share


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """MLflow's registry with two versions that the gate has promoted."""
    from deployments import champions

    return champions(tmp_path_factory.mktemp("store"))


@pytest.fixture
def aws(tmp_path: Path, store: Any, elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """AWS as servers on this machine, with the stacks that a deployment stands on."""
    from deployments import cloud

    monkeypatch.setenv("MLFLOW_TRACKING_URI", store.uri)
    monkeypatch.setattr("infra.stacks.POLL", 0.01)
    with cloud(tmp_path / "functions") as found:
        yield found


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a deployment's rollback runs the register stage, which writes beside the artifacts."""
    from deployments import stages

    folder = stages(tmp_path / "stages")
    monkeypatch.setattr("infra.deploy.registry.CHECKOUT", folder)
    return folder
