"""kill -9 of the server's process group and of the log's writer: no spooled row is lost or duplicated."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from roadmap.prediction_log import spool as spooling
from roadmap.prediction_log.recorder import PredictionLogger
from roadmap.prediction_log.spool import Segment, segments
from roadmap.prediction_log.writer import SpoolWriter
from tests.support.checkouts import ROOT
from tests.support.predictions import Metrics, numbers, read, record
from tests.support.waiting import until

# Records 0, 1, 2, ... until it is killed.
SERVER = """
import itertools, sys, time
from pathlib import Path
from roadmap.prediction_log.recorder import PredictionLogger
from tests.support.predictions import Metrics, record

recorder = PredictionLogger(sys.argv[1], 1.0, Metrics(), Path(sys.argv[2]), flush_seconds=0.1)
for number in itertools.count():
    record(recorder, number)
    time.sleep(0.001)
"""


@pytest.mark.slow
@pytest.mark.parametrize("what", ["server", "server and writer"])
def test_the_spool_of_a_killed_server_is_written(
    what: str, tmp_path: Path, start: Callable[..., PredictionLogger]
) -> None:
    log, spool = str(tmp_path / "log"), tmp_path / "spool"
    server = subprocess.Popen([sys.executable, "-c", SERVER, log, str(spool)], cwd=ROOT, start_new_session=True)
    folder = spooling.folder_of(spool, log)

    def kept() -> list[int]:
        lines = b"".join(path.read_bytes() for path in segments(folder)).split(b"\n")[:-1]
        return [json.loads(line.split(b"\t")[1])[0]["n"] for line in lines]

    try:
        until(lambda: list(Path(log).rglob("part-*.parquet")))  # all are at work
        (writer,) = psutil.Process(server.pid).children()
        before = kept()
    finally:
        os.killpg(server.pid, signal.SIGKILL)  # the writer has a group of its own
    if what == "server and writer":
        writer.kill()
        server.wait(30)
        start(log)  # the next server
    server.wait(30)
    until(lambda: not writer.is_running() and not segments(folder))
    found = numbers(read(log))
    assert found == list(range(len(found))) and len(found) >= len(before) > 0
    assert spooling.SYNC_SECONDS <= 0.5  # as long the last rows may be only in the server's memory


@pytest.mark.slow
def test_a_killed_writer_is_replaced(tmp_path: Path, start: Callable[..., PredictionLogger], metrics: Metrics) -> None:
    log = str(tmp_path / "log")
    recorder = start(log, flush_seconds=0.02)
    for number in range(50):
        record(recorder, number)
    until(lambda: metrics.written["titanic"])
    assert recorder.writer
    recorder.writer.kill()
    for number in range(50, 100):
        record(recorder, number)
    until(lambda: recorder.writer is None)
    recorder.close()
    assert numbers(read(log)) == list(range(100))


# ---------------------------------------------------------------- the same at the worst moments, without processes


def line(*numbers: int) -> bytes:
    inputs, outputs = ([{name: number} for number in numbers] for name in "ny")
    head = (time.time(), "r", "titanic", "v1", "sample", 0.01, len(numbers))
    return "\t".join(map(json.dumps, (head, inputs, outputs))).encode() + b"\n"


def write(url: str, folder: Path) -> None:
    SpoolWriter(url, folder, "server", 0.0).poll(last=True)


class Killed(BaseException):
    pass


@pytest.mark.parametrize("moment", ["done", "remove"])
def test_rows_written_before_a_kill_are_not_written_twice(
    moment: str, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (segment := tmp_path / "1-server.jsonl").write_bytes(line(1) + line(2, 3))

    def killed(_: Segment) -> None:
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Segment, moment, killed)
        write(url, tmp_path)
    assert numbers(read(url)) == [1, 2, 3]
    with segment.open("ab") as file:  # another writer finds more than the first one saw
        file.write(line(4))
    write(url, tmp_path)
    assert numbers(read(url)) == [1, 2, 3, 4]
    assert not list(tmp_path.glob("*.json*"))


def test_a_partial_line_waits_and_a_corrupt_one_is_skipped(tmp_path: Path) -> None:
    url, folder = str(tmp_path / "log"), tmp_path / "spool"
    folder.mkdir()
    whole = line(3)
    (segment := folder / "1-server.jsonl").write_bytes(line(1) + b"\0\0\0\n" + line(2) + whole[:20])
    with segment.open("ab") as server:
        spooling.fcntl.flock(server, spooling.fcntl.LOCK_EX)
        writer = SpoolWriter(url, folder, "another", 0.0)
        writer.poll()
        assert sorted(numbers(read(url))) == [1, 2] and segment.exists()
        server.write(whole[20:])
    writer.poll()
    assert sorted(numbers(read(url))) == [1, 2, 3] and not segment.exists()


def test_the_writer_does_not_import_the_server() -> None:
    sent = "import sys, roadmap.prediction_log.writer; print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", sent], cwd=ROOT, capture_output=True, text=True, check=True)
    modules = {name.partition(".")[0] for name in found.stdout.split()}
    assert not modules & {"serving", "fastapi", "pydantic", "onnxruntime", "numpy", "pyarrow", "sqlalchemy"}
