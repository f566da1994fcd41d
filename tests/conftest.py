"""Fixtures shared by several test packages."""

import contextlib
import functools
import logging
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from tests.support.checkouts import ROOT, Checkout, checkout
from tests.support.collection import refuse_unmarked, take_shard
from tests.support.servers import Running, serving


def pytest_sessionfinish(session: pytest.Session) -> None:
    if not hasattr(session.config, "workerinput") and shutil.which("docker"):
        from tests.support.infra import engine

        engine.remove_images()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    refuse_unmarked(items)
    take_shard(config, items)


@pytest.fixture(autouse=True)
def restored_logging() -> Iterator[None]:
    """Restores logging: a server in this process configures it on streams that are closed after its test."""
    loggers = [logging.getLogger(name) for name in (None, "serving", "uvicorn", "uvicorn.access")]
    before = [(logger, logger.level, logger.handlers[:]) for logger in loggers]
    yield
    for logger, level, handlers in before:
        logger.setLevel(level)
        for handler in set(logger.handlers) - set(handlers):
            logger.removeHandler(handler)


@pytest.fixture(scope="session", autouse=True)
def patient_recorder() -> Iterator[None]:
    """The prediction log's writer has a low priority: on a busy machine it may take long to start, and to end."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("roadmap.prediction_log.recorder.CLOSE_SECONDS", 120.0)
        yield


@pytest.fixture
def clone(tmp_path: Path) -> Checkout:
    """A separate clone for a test that changes files."""
    return Checkout(checkout(tmp_path / "clone"))


@pytest.fixture(scope="session")
def reproduced(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Checkout:
    """One clone in which `dvc repro` has run on the sample, shared by all workers and never changed.

    What its processes imported is in <folder>.jsonl, as benchmarks/pipeline/startup has it.
    """
    base = tmp_path_factory.getbasetemp()
    folder = (base if worker_id == "master" else base.parent) / "reproduced"
    with FileLock(f"{folder}.lock"):
        clone = Checkout(folder)
        if not (folder / "artifacts" / "store.json").exists():
            probe: dict[str, Any] = {
                "PYTHONPATH": str(ROOT / "benchmarks/pipeline/startup"),
                "STARTUP_TIMES": f"{folder}.jsonl",
            }
            Checkout(checkout(folder)).run("dvc", "repro", "-q", timeout=1500, **probe)
    return clone


@pytest.fixture
def copy_of(tmp_path: Path) -> Callable[[Checkout], Checkout]:
    """A full copy of a clone, which a test may change."""

    def make(source: Checkout) -> Checkout:
        target = tmp_path / "copy"
        shutil.copytree(source.folder, target, symlinks=True)
        return Checkout(target)

    return make


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """The address of an S3 server."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes boto3 use `s3_server`."""
    for name, value in {
        "AWS_ENDPOINT_URL": s3_server,
        "AWS_ACCESS_KEY_ID": "dummy",
        "AWS_SECRET_ACCESS_KEY": "dummy",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def server(tmp_path: Path) -> Callable[..., contextlib.AbstractContextManager[Running]]:
    return functools.partial(serving, tmp_path / "server.log")


@pytest.fixture(scope="session")
def letters(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """artifacts/ with the tiny language model of tests/support/letters.py."""
    from pipelines.mini_gpt.data import tokens
    from tests.support import letters

    return letters.bundle_of(tmp_path_factory.mktemp("letters"), tokens.characters(letters.LETTERS), "char")


@pytest.fixture(scope="session")
def writer(letters: Path) -> Any:
    """Its predictor."""
    from roadmap.bundle import Bundle, load_predictor

    return load_predictor(Bundle(letters / "mini_gpt" / "bundle"))


@pytest.fixture(scope="session")
def chatml(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """artifacts/ with a tiny language model of single bytes that chats in ChatML and calls tools."""
    from tests.support import letters

    return letters.chatml_bundle(tmp_path_factory.mktemp("chatml"))


# ---------------------------------------------------------------- of tests/system/deploy


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """MLflow's registry with two promoted versions."""
    from tests.support.infra.deployments import champions

    return champions(tmp_path_factory.mktemp("store"))


@pytest.fixture
def aws(tmp_path: Path, store: Any, elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Stand-ins for AWS on this machine, with the stacks that a deployment needs."""
    from tests.support.infra.deployments import cloud

    monkeypatch.setenv("MLFLOW_TRACKING_URI", store.uri)
    monkeypatch.setattr("infra.stacks.POLL", 0.01)
    with cloud(tmp_path / "functions") as found:
        yield found


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory for the register stage of a rollback, which writes to artifacts/."""
    from tests.support.infra.deployments import stages

    folder = stages(tmp_path / "stages")
    monkeypatch.setattr("infra.deploy.registry.rollback.CHECKOUT", folder)
    return folder
