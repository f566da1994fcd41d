"""The prediction log: predictions are read back, and logging affects no request."""

import json
import os
import sqlite3
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.dataset
import pytest
from fastapi.testclient import TestClient
from pydantic import BaseModel, Field

from roadmap.prediction_log import files as prediction_files
from roadmap.prediction_log import log as recording
from roadmap.prediction_log import spool as spooling
from roadmap.prediction_log.log import PredictionRecord
from roadmap.prediction_log.recorder import PredictionLogger
from serving.http.app import create_app
from serving.settings import Settings
from tests.support import bundles
from tests.support.predictions import SOON, Metrics, Served, numbers, read, record
from tests.support.waiting import until


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(bundles.make_all(tmp_path_factory.mktemp("artifacts")))


# ---------------------------------------------------------------- what is found again


def test_predictions_are_read_back(artifacts: str, url: str, tmp_path: Path) -> None:
    settings = Settings(bundles=artifacts, predictions=url, predictions_spool=tmp_path / "spool")
    with TestClient(create_app(settings)) as client:
        inputs = [{"class": "1st", "sex": "female", "age": "adult"}, {"class": "crew"}]
        response = client.post("/models/titanic/predict", json={"inputs": inputs}, headers={"X-Request-ID": "abc"})
        client.post("/models/titanic/predict", json={"inputs": []})  # rejected: nothing to log
        image = {"image": bundles.glyphs()[3].tolist()}
        client.post("/models/mnist/predict", json={"inputs": [image]})
    rows = read(url)  # the server has ended: all is written
    assert [json.loads(row.output) for row in rows] == response.json()["outputs"]
    assert {name: value for name, value in json.loads(rows[0].input).items() if value is not None} == inputs[0]
    assert json.loads(rows[1].input)["class"] == "crew"
    first = rows[0]
    version = response.headers["x-model-version"]
    assert (first.request_id, first.project, first.version, first.profile) == ("abc", "titanic", version, "sample")
    assert abs(datetime.now(UTC) - first.time) < SOON
    assert 0 < first.seconds < 60
    assert json.loads(read(url, "mnist")[0].input) == image


def test_streamed_text_is_logged_too(tmp_path: Path) -> None:
    bundles.mini_gpt(tmp_path / "artifacts" / "mini_gpt" / "bundle")
    log, spool = str(tmp_path / "log"), tmp_path / "spool"
    settings = Settings(bundles=str(tmp_path / "artifacts"), predictions=log, predictions_spool=spool)
    with TestClient(create_app(settings)) as client:
        inputs = {"prompt": "the ", "max_tokens": 5, "temperature": 0}
        streamed = client.post("/models/mini_gpt/stream", json=inputs).text
        completed = client.post("/v1/completions", json={"model": "mini_gpt", **inputs}).json()
    done = json.loads(streamed.split("event: done\ndata: ")[1].split("\n")[0])
    rows = read(log, "mini_gpt")
    assert [json.loads(row.output)["text"] for row in rows] == [done["text"], completed["choices"][0]["text"]]
    assert json.loads(rows[0].input)["prompt"] == "the "


class Odd(BaseModel):
    """Values that JSON encoders treat differently."""

    kind: str = Field(alias="class")
    gap: float | None = None
    wide: float = 1e300
    text: str = '\n\t\u2028 \\ " 中 😀'
    nested: dict[str, list[int]] = {"a": [2**60]}


def test_inputs_are_logged_as_json(tmp_path: Path, start: Callable[..., PredictionLogger]) -> None:
    recorder = start(str(tmp_path / "log"))
    given = [Odd(**{"class": "x"}), Odd(**{"class": "y", "gap": 1 / 3, "wide": float("nan")})]
    recorder.record(Served(), given, [{"y": 0.1 + 0.2}, {"text": "ü\n"}], "r", 0.01)
    recorder.close()
    rows = read(str(tmp_path / "log"))
    assert [json.loads(row.input) for row in rows] == [json.loads(one.model_dump_json(by_alias=True)) for one in given]
    assert [row.output for row in rows] == ['{"y":0.30000000000000004}', '{"text":"ü\\n"}']


def test_reading_filters_by_project_and_time(url: str) -> None:
    target = recording.open_store(url)
    days = [datetime(2026, 3, day, hour, tzinfo=UTC) for day, hour in ((1, 23), (2, 0), (2, 12), (3, 0))]
    row = PredictionRecord(days[0], "r", "titanic", "v1", "sample", "{}", "{}", 0.5)
    target.write([row._replace(time=time, request_id=str(n)) for n, time in reversed(list(enumerate(days)))])
    target.write([row._replace(project="mnist")])
    assert [one.request_id for one in read(url, "titanic", days[0], days[3])] == ["0", "1", "2"]
    assert [one.request_id for one in read(url, "titanic", days[1], days[2])] == ["1"]
    assert [one.project for one in read(url, "mnist", days[0], days[3])] == ["mnist"]
    assert read(url, "unknown", days[0], days[3]) == []
    assert read(url, "titanic", days[2], days[3])[0] == row._replace(time=days[2], request_id="2")


def test_other_tools_can_read_the_log(tmp_path: Path, start: Callable[..., PredictionLogger]) -> None:
    recorder = start(str(tmp_path / "log"))
    record(recorder, 1, 2)
    record(recorder, 3, name="mnist")
    recorder.close()
    table = pyarrow.dataset.dataset(tmp_path / "log", partitioning="hive").to_table()
    assert sorted(zip(table["project"].to_pylist(), table["output"].to_pylist(), strict=True)) == [
        ("mnist", '{"y":3}'),
        ("titanic", '{"y":1}'),
        ("titanic", '{"y":2}'),
    ]
    recorder = start(f"sqlite:///{tmp_path / 'log.db'}")
    record(recorder, 7)
    recorder.close()
    with sqlite3.connect(tmp_path / "log.db") as database:
        assert database.execute("SELECT project, output FROM predictions").fetchall() == [("titanic", '{"y":7}')]


def test_the_log_is_written_periodically_and_counted(
    url: str, start: Callable[..., PredictionLogger], metrics: Metrics
) -> None:
    recorder = start(url, flush_seconds=0.05)
    record(recorder, 1)
    until(lambda: metrics.written["titanic"] == 1)
    assert numbers(read(url)) == [1]
    record(recorder, 2)
    recorder.close()
    assert numbers(read(url)) == [1, 2]
    assert (metrics.written, metrics.lost) == ({"titanic": 2}, {})


def test_sampling_keeps_whole_requests(tmp_path: Path, start: Callable[..., PredictionLogger]) -> None:
    recorder = start(str(tmp_path / "log"), share=0.25)
    taken = [number for number in range(2000) if record(recorder, number, number)]
    recorder.close()
    found = numbers(read(str(tmp_path / "log")))
    assert 400 < len(taken) < 600
    assert found[::2] == found[1::2] == taken


def test_readers_never_see_a_partial_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[Path]] = []
    write_table: Callable[..., Any] = prediction_files.parquet.write_table

    def looked_at(table: Any, path: Path, **options: Any) -> None:
        write_table(table, path, **options)
        assert path.exists()
        seen.append(list(tmp_path.glob("log/*/*/part-*")))

    monkeypatch.setattr(prediction_files.parquet, "write_table", looked_at)
    row = PredictionRecord(datetime.now(UTC), "r", "titanic", "v1", "sample", "{}", "{}", 0.5)
    recording.open_store(str(tmp_path / "log")).write([row])
    assert seen == [[]]
    assert len(list(tmp_path.glob("log/project=titanic/date=*/*"))) == 1


def test_workers_share_one_writer(tmp_path: Path, start: Callable[..., PredictionLogger], metrics: Metrics) -> None:
    url = str(tmp_path / "log")
    workers = [start(url, flush_seconds=0.05) for _ in range(3)]
    for number in range(30):
        record(workers[number % 3], number)
    until(lambda: metrics.written["titanic"] == 30)
    assert len([one for one in workers if one.writer]) == 1
    for number in range(30, 60):
        record(workers[number % 3], number)
    for worker in workers:  # the first ends with the writer, if it is its own; the next one starts another
        worker.close()
    assert sorted(numbers(read(url))) == list(range(60))
    assert metrics.written["titanic"] == 60


# ---------------------------------------------------------------- what can't be written


def test_a_full_spool_drops_rows_without_slowing_requests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: Callable[..., PredictionLogger], metrics: Metrics
) -> None:
    monkeypatch.setattr(spooling, "MAX_BUFFER_BYTES", 10_000)
    recorder = start(str(tmp_path / "log"), max_bytes=1)
    taken = sum(record(recorder, number) for number in range(1000))
    assert 50 < taken < 200 and metrics.lost["titanic"] == 1000 - taken
    recorder.close()
    assert metrics.lost["titanic"] == 1000 and read(str(tmp_path / "log")) == []


def test_a_full_disk_corrupts_no_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: Callable[..., PredictionLogger], metrics: Metrics
) -> None:
    full, tried, write = threading.Event(), threading.Event(), os.writev

    def writev(file: int, lines: list[bytes]) -> int:
        if not full.is_set():
            return write(file, lines)
        os.write(file, b"".join(lines)[:-7])  # what had room
        tried.set()
        return sum(map(len, lines)) - 7

    monkeypatch.setattr(spooling.os, "writev", writev)
    monkeypatch.setattr(spooling, "RETRY_SECONDS", 0.05)
    recorder = start(str(tmp_path / "log"))
    record(recorder, 1)
    until(lambda: list(tmp_path.glob("spool/*/*.jsonl")))
    full.set()
    record(recorder, 2)
    assert tried.wait(60)
    full.clear()
    record(recorder, 3)
    recorder.close()
    assert numbers(read(str(tmp_path / "log"))) == [1, 2, 3]
    assert metrics.lost == {}


def test_a_recovered_store_gets_the_waiting_rows(
    tmp_path: Path, start: Callable[..., PredictionLogger], caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "log"
    folder.write_text("a file where the folder should be")
    recorder = start(str(folder), flush_seconds=0.05)
    record(recorder, 1)
    until(lambda: "cannot write 1 predictions" in caplog.text)
    folder.unlink()
    record(recorder, 2)
    recorder.close()
    assert numbers(read(str(folder))) == [1, 2]


def test_an_unavailable_store_fails_no_request_and_the_next_server_writes(
    artifacts: str,
    tmp_path: Path,
    start: Callable[..., PredictionLogger],
    caplog: pytest.LogCaptureFixture,
    metrics: Metrics,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("roadmap.prediction_log.recorder.CLOSE_SECONDS", 10.0)
    url = f"sqlite:///{tmp_path}/missing/log.db"
    settings = Settings(bundles=artifacts, predictions=url, predictions_spool=tmp_path / "spool")
    with TestClient(create_app(settings)) as client:
        for _ in range(3):
            assert client.post("/models/titanic/predict", json={"inputs": [{}]}).status_code == 200
    assert "cannot write 3 predictions (OperationalError)" in caplog.text
    assert "the next server will write them" in caplog.text
    (tmp_path / "missing").mkdir()
    start(url)
    until(lambda: metrics.written["titanic"] == 3)
    assert len(read(url)) == 3


def test_passwords_in_addresses_are_never_shown(
    tmp_path: Path,
    start: Callable[..., PredictionLogger],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("roadmap.prediction_log.recorder.CLOSE_SECONDS", 0.5)  # nobody is there to write to
    recorder = start("nosuchdatabase://ada:secret@example.org/log", flush_seconds=0.05)
    record(recorder, 1)
    until(lambda: "cannot write" in caplog.text)
    assert recorder.writer and "secret" not in str(recorder.writer.args)
    recorder.close()
    kept = [str(path) + path.read_text() for path in tmp_path.rglob("*") if path.is_file()]
    assert kept and "secret" not in caplog.text + "".join(kept)
    other = "nosuchdatabase://bob:changed@example.org/log"
    assert spooling.folder_of(tmp_path, recorder.url) == spooling.folder_of(tmp_path, other)


def test_a_rejected_row_does_not_block_others(
    tmp_path: Path, start: Callable[..., PredictionLogger], metrics: Metrics
) -> None:
    url = f"sqlite:///{tmp_path / 'log.db'}"
    recording.open_store(url)  # creates the table
    with sqlite3.connect(tmp_path / "log.db") as database:
        refused = "BEFORE INSERT ON predictions WHEN new.request_id = 'r5' BEGIN SELECT RAISE(ABORT, 'too long'); END"
        database.execute(f"CREATE TRIGGER narrow {refused}")
    recorder = start(url)
    for number in range(10):
        record(recorder, number)
    recorder.close()
    assert sorted(numbers(read(url))) == [0, 1, 2, 3, 4, 6, 7, 8, 9]
    assert (metrics.written["titanic"], metrics.lost["titanic"]) == (9, 1)
