"""A command as a task runs it: its log, retries, and how it is stopped."""

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from dvc_airflow import process, workspace
from dvc_airflow.process import Blocked, Command, Failed

from tests.support.airflow_runs import Listener, listening
from tests.support.checkouts import BIN, ROOT, environment

CLOSED = "http://127.0.0.1:9"  # the discard port: nothing listens


# ---------------------------------------------------------------- what the log shows


def shown(*reads: bytes, every: float = 10, seconds: float = 1) -> list[str]:
    """The log lines of output written in pieces, `seconds` apart."""
    source, sink = os.pipe()
    now = iter(range(10_000))
    found = []
    with os.fdopen(source, "rb") as stream:
        read = process.lines(stream, every, clock=lambda: seconds * next(now))
        writer = threading.Thread(target=piecewise, args=(sink, reads))
        writer.start()
        found = list(read)
        writer.join()
    return found


def piecewise(sink: int, reads: tuple[bytes, ...]) -> None:
    for piece in reads:
        os.write(sink, piece)
        time.sleep(0.005)
    os.close(sink)


def test_lines_are_complete_however_they_are_written() -> None:
    assert shown(b"one\ntwo\n\nth", b"ree\nfo", b"ur") == ["one", "two", "three", "four"]


def test_crlf_ends_a_line() -> None:
    assert shown(b"one\r\ntwo\r", b"\nthree\r\n") == ["one", "two", "three"]


def test_progress_bars_are_throttled() -> None:
    states = [b"\rEpoch 0: %d%%" % number for number in range(100)]
    found = shown(*states, b"\rEpoch 0: 100%\n", b"done\n", every=10, seconds=1)
    assert found[0] == "Epoch 0: 0%"
    assert found[-2:] == ["Epoch 0: 100%", "done"], "the last state is a normal line"
    assert 8 <= len(found) <= 14, found


def test_lines_between_progress_updates_are_shown() -> None:
    found = shown(b"\r10%\r20%\rsaved a checkpoint\n30%\r40%\rwarning: loss is high\n", every=1000)
    assert [line for line in found if "%" not in line] == ["saved a checkpoint", "warning: loss is high"]


def test_ansi_sequences_are_removed() -> None:
    assert shown(b"\x1b[1;31mred\x1b[0m and\x1b[K plain\x1b[2A\x1b[?25h\n", b"\x1b[34m", b"blue\x1b[0m\n") == [
        "red and plain",
        "blue",
    ]


def test_invalid_utf8_does_not_end_the_log() -> None:
    assert shown("准确率 0.97\n".encode()[:4], "准确率 0.97\n".encode()[4:], b"\xff\xfe\nnext\n") == [
        "准确率 0.97",
        "\ufffd\ufffd",
        "next",
    ]


# ---------------------------------------------------------------- what an end means


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A DVC repository whose stages end in every possible way."""
    stages = {
        "bad": {"cmd": "echo 'error: params.yaml: lr: found fast; must be a number' >&2; exit 2"},
        "silent": {"cmd": "echo 'error: MLflow cannot be reached' >&2; exit 75"},
        "killed": {"cmd": "kill -9 $$"},
        "crashed": {"cmd": "echo 'ConnectionError: connection refused'; exit 1"},
        "slow": {"cmd": "sleep 30", "outs": [{"out": {"cache": False}}]},
        "after": {"cmd": "true", "deps": ["out"]},
    }
    (tmp_path / "dvc.yaml").write_text(json.dumps({"stages": stages}))
    subprocess.run([str(BIN / "dvc"), "init", "-q", "--no-scm"], cwd=tmp_path, check=True)
    return tmp_path


def command(folder: Path, output: list[str] | None = None) -> Command:
    return Command(folder, environment(), (output if output is not None else []).append)


def repro(folder: Path, stage: str) -> Failed:
    with pytest.raises(Failed) as caught:
        command(folder).run([str(BIN / "dvc"), "repro", "--single-item", stage])
    return caught.value


def test_usage_errors_are_not_retried(repository: Path) -> None:
    failure = repro(repository, "bad")
    assert not failure.retry
    assert str(failure) == "params.yaml: lr: found fast; must be a number"


def test_unavailable_services_are_retried(repository: Path) -> None:
    failure = repro(repository, "silent")
    assert failure.retry and str(failure) == "MLflow cannot be reached"


def test_a_killed_stage_is_retried(repository: Path) -> None:
    failure = repro(repository, "killed")
    assert failure.retry and str(failure) == "the stage was killed by signal 9"


def test_network_words_in_a_stages_output_cause_no_retry(repository: Path) -> None:
    """A stage's exit code decides on a retry; only DVC's own output is searched."""
    assert not repro(repository, "crashed").retry


@pytest.mark.parametrize(
    ("output", "code", "retry"),
    [
        ("ERROR: failed to push data to the cloud - 3 files failed: Connection refused", 255, True),
        ("ERROR: unexpected error - An error occurred (503) when calling PutObject: Slow Down", 255, True),
        ("ERROR: unexpected error - Could not connect to the endpoint URL: http://minio:9000", 255, True),
        ("ERROR: failed to pull data from the cloud - Read timed out", 1, True),
        ("ERROR: configuration error - no remote specified", 251, False),
        ("ERROR: unexpected error - Access Denied", 255, False),
        ("ERROR: stage 'train@mnist' has 1503 rows", 255, False),
        ("", 137, True),
        ("", 1, False),
    ],
)
def test_dvc_network_failures_are_retried(output: str, code: int, retry: bool) -> None:
    failure = process.failure([output] if output else [], code)
    assert isinstance(failure, Failed) and failure.retry is retry
    assert str(failure)


def test_a_locked_repository_means_nothing_was_done(repository: Path) -> None:
    with workspace.dvc_locked(repository), pytest.raises(Blocked):
        command(repository).run([str(BIN / "dvc"), "repro", "--single-item", "bad"])


def test_an_output_in_use_means_nothing_was_done(repository: Path) -> None:
    slow, after = ([str(BIN / "dvc"), "repro", "--single-item", name] for name in ("slow", "after"))
    with running(command(repository), slow, "sleep"), pytest.raises(Blocked):
        command(repository).run(after)


# ---------------------------------------------------------------- stopping


@contextmanager
def running(started: Command, arguments: list[str], until: str) -> Iterator[list[psutil.Process]]:
    """The processes of the command, once one has that name; it is stopped when the block ends."""
    ends: list[Failed | Blocked] = []

    def run() -> None:
        try:
            started.run(arguments)
        except (Failed, Blocked) as error:
            ends.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        deadline = time.monotonic() + 30
        family: list[psutil.Process] = []
        while not any(one.name() == until for one in family):
            assert time.monotonic() < deadline and thread.is_alive(), "it did not start"
            time.sleep(0.05)
            family = alive(started)
        yield family
    finally:
        started.stop()
        thread.join(20)
    assert ends, "a stopped command has not succeeded"


def alive(started: Command) -> list[psutil.Process]:
    try:
        parent = psutil.Process(started.process.pid) if started.process else None
        return [parent, *parent.children(recursive=True)] if parent else []
    except psutil.NoSuchProcess:
        return []


def gone(family: list[psutil.Process]) -> bool:
    _, left = psutil.wait_procs(family, timeout=5)
    return not left


def test_stopping_a_command_stops_its_children(repository: Path) -> None:
    started = command(repository)
    with running(started, [str(BIN / "dvc"), "repro", "--single-item", "slow"], "sleep") as family:
        assert len(family) >= 2
        started.stop()
        assert gone(family)


@pytest.mark.parametrize(
    "deaf", ["trap '' TERM; sleep 30; true", "(trap '' TERM; sleep 30) & wait"], ids=["it", "child"]
)
def test_processes_that_ignore_sigterm_are_killed(tmp_path: Path, deaf: str) -> None:
    started = command(tmp_path)
    with running(started, ["sh", "-c", deaf], "sleep") as family:
        started.stop(patience=0.5)
        assert gone(family)


# ---------------------------------------------------------------- what the stages say


STAGE = """
from roadmap.data.download import fetch
from roadmap.config.stage import stage

@stage
def main(run):
    fetch("project", "{address}/file.bin", "sha256:0")

main()
"""


@pytest.fixture
def answering() -> Iterator[Callable[[int], Listener]]:
    with contextlib.ExitStack() as stack:
        yield lambda status: stack.enter_context(listening(status))


def stage(*command: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command, "project=titanic"], cwd=ROOT, env=environment(**env), capture_output=True, text=True
    )


def test_register_without_mlflow_is_a_temporary_failure() -> None:
    done = stage("-m", "pipelines.register", MLFLOW_TRACKING_URI=CLOSED)
    assert done.returncode == process.TEMPORARY, done.stderr
    assert done.stderr.splitlines()[-1].startswith(f"error: MLflow at {CLOSED} cannot be reached")


@pytest.mark.parametrize(("status", "code"), [(None, 75), (503, 75), (429, 75), (404, 2), (403, 2)])
def test_an_unavailable_download_is_a_temporary_failure(
    answering: Callable[[int], Listener], tmp_path: Path, status: int | None, code: int
) -> None:
    address = CLOSED if status is None else answering(status).url
    env = {"DATA_MIRROR": address, "DATA_CACHE": str(tmp_path), "PYTHONPATH": str(ROOT)}
    done = stage("-c", STAGE.format(address=address), **env)
    assert done.returncode == code, done.stderr
    assert f"{address}/file.bin" in done.stderr.splitlines()[-1]


def test_an_invalid_setting_is_a_usage_error() -> None:
    done = stage("-m", "pipelines.check", "projects.titanic.train.epochs=-1")
    assert done.returncode == 2 and "projects.titanic.train.epochs" in done.stderr
