"""The prediction log: what was asked and answered is found again, and no request ever pays for it."""

import json
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.dataset
import pytest
from fastapi.testclient import TestClient
from pydantic import BaseModel

from roadmap.prediction_log import files as prediction_files
from roadmap.prediction_log import recorder as recording
from roadmap.prediction_log.log import Row
from roadmap.prediction_log.recorder import Recorder
from serving.http.app import create_app
from serving.observability import metrics
from serving.settings import Settings
from tests.support import bundles

SOON = timedelta(minutes=5)


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(bundles.make_all(tmp_path_factory.mktemp("artifacts")))


@pytest.fixture(params=["folder", "database"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "log") if request.param == "folder" else f"sqlite:///{tmp_path / 'log.db'}"


def read(url: str, project: str = "titanic", since: datetime | None = None, until: datetime | None = None) -> list[Row]:
    now = datetime.now(UTC)
    return list(recording.read(url, project, since or now - SOON, until or now + SOON))


def test_what_was_answered_is_found_again(artifacts: str, url: str) -> None:
    with TestClient(create_app(Settings(bundles=artifacts, predictions=url))) as client:
        inputs = [{"class": "1st", "sex": "female", "age": "adult"}, {"class": "crew"}]
        response = client.post("/models/titanic/predict", json={"inputs": inputs}, headers={"X-Request-ID": "abc"})
        client.post("/models/titanic/predict", json={"inputs": []})  # refused: nothing to record
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


def test_what_was_written_in_a_stream_is_found_too(tmp_path: Path, url: str) -> None:
    bundles.mini_gpt(tmp_path / "artifacts" / "mini_gpt" / "bundle")
    with TestClient(create_app(Settings(bundles=str(tmp_path / "artifacts"), predictions=url))) as client:
        asked = {"prompt": "the ", "max_tokens": 5, "temperature": 0}
        streamed = client.post("/models/mini_gpt/stream", json=asked).text
        completed = client.post("/v1/completions", json={"model": "mini_gpt", **asked}).json()
    done = json.loads(streamed.split("event: done\ndata: ")[1].split("\n")[0])
    rows = read(url, "mini_gpt")
    assert [json.loads(row.output)["text"] for row in rows] == [done["text"], completed["choices"][0]["text"]]
    assert json.loads(rows[0].input)["prompt"] == "the "


class Manifest:
    version, profile = "v1", "sample"


class Served:
    """As much of a model as the recorder asks for."""

    manifest = Manifest()

    def __init__(self, name: str = "titanic") -> None:
        self.name = name


class Input(BaseModel):
    n: int


def inputs(*numbers: int) -> list[Input]:
    return [Input(n=number) for number in numbers]


def record(recorder: Recorder, *numbers: int, name: str = "titanic") -> None:
    recorder.record(Served(name), inputs(*numbers), [{"y": number} for number in numbers], f"r{numbers[0]}", 0.01)


def numbers(rows: Sequence[Row]) -> list[int]:
    return [json.loads(row.input)["n"] for row in rows]


def test_only_the_project_and_time_asked_for_are_read(url: str) -> None:
    target = recording.target(url)
    days = [datetime(2026, 3, day, hour, tzinfo=UTC) for day, hour in ((1, 23), (2, 0), (2, 12), (3, 0))]
    row = Row(days[0], "r", "titanic", "v1", "sample", "{}", "{}", 0.5)
    target.write([row._replace(time=time, request_id=str(n)) for n, time in reversed(list(enumerate(days)))])
    target.write([row._replace(project="mnist")])
    assert [one.request_id for one in read(url, "titanic", days[0], days[3])] == ["0", "1", "2"]
    assert [one.request_id for one in read(url, "titanic", days[1], days[2])] == ["1"]
    assert [one.project for one in read(url, "mnist", days[0], days[3])] == ["mnist"]
    assert read(url, "unknown", days[0], days[3]) == []
    assert read(url, "titanic", days[2], days[3])[0] == row._replace(time=days[2], request_id="2")


def test_other_tools_read_it(tmp_path: Path) -> None:
    recorder = Recorder(str(tmp_path / "log"), 1.0, metrics)
    record(recorder, 1, 2)
    record(recorder, 3, name="mnist")
    recorder.close()
    table = pyarrow.dataset.dataset(tmp_path / "log", partitioning="hive").to_table()
    assert sorted(zip(table["project"].to_pylist(), table["output"].to_pylist(), strict=True)) == [
        ("mnist", '{"y": 3}'),
        ("titanic", '{"y": 1}'),
        ("titanic", '{"y": 2}'),
    ]
    recorder = Recorder(f"sqlite:///{tmp_path / 'log.db'}", 1.0, metrics)
    record(recorder, 7)
    recorder.close()
    with sqlite3.connect(tmp_path / "log.db") as database:
        assert database.execute("SELECT project, output FROM predictions").fetchall() == [("titanic", '{"y": 7}')]


def test_it_is_written_every_few_seconds(url: str) -> None:
    recorder = Recorder(url, 1.0, metrics, flush_seconds=0.1)
    record(recorder, 1)
    until = time.monotonic() + 20
    while not read(url) and time.monotonic() < until:
        time.sleep(0.05)
    assert numbers(read(url)) == [1]
    record(recorder, 2)
    recorder.close()
    assert numbers(read(url)) == [1, 2]


def test_a_share_is_a_sample_of_whole_requests(url: str) -> None:
    recorder = Recorder(url, 0.25, metrics, most=10_000)
    for number in range(2000):
        record(recorder, number, number)
    recorder.close()
    found = numbers(read(url))
    assert 800 < len(found) < 1200
    assert found[::2] == found[1::2]


@pytest.fixture
def dropped(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The rows that were dropped, as they are counted."""
    counts: list[int] = []
    monkeypatch.setattr(metrics, "dropped", lambda project, rows: counts.append(rows))
    yield counts


def test_a_slow_disk_drops_rows_and_slows_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dropped: list[int]
) -> None:
    held = threading.Event()
    write = prediction_files.Files.write

    def slow(self: prediction_files.Files, rows: Sequence[Row]) -> None:
        held.wait(30)
        write(self, rows)

    monkeypatch.setattr(prediction_files.Files, "write", slow)
    recorder = Recorder(str(tmp_path / "log"), 1.0, metrics, flush_seconds=0.0, most=100)
    began = time.monotonic()
    for number in range(1000):
        record(recorder, number)
    assert time.monotonic() - began < 5
    held.set()
    recorder.close()
    written = len(read(str(tmp_path / "log")))
    assert sum(dropped) >= 800
    assert written + sum(dropped) == 1000


def test_a_target_that_comes_back_gets_what_was_kept(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    folder.write_text("a file where the folder should be")
    recorder = Recorder(str(folder), 1.0, metrics, flush_seconds=0.1)
    record(recorder, 1)
    time.sleep(0.5)
    folder.unlink()
    record(recorder, 2)
    recorder.close()
    assert numbers(read(str(folder))) == [1, 2]


def test_a_target_that_stays_away_fails_no_request(artifacts: str, tmp_path: Path, dropped: list[int]) -> None:
    url = f"sqlite:///{tmp_path}/missing/log.db"
    with TestClient(create_app(Settings(bundles=artifacts, predictions=url))) as client:
        for _ in range(3):
            assert client.post("/models/titanic/predict", json={"inputs": [{}]}).status_code == 200
    assert sum(dropped) == 3


def test_a_password_in_the_address_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    recorder = Recorder("nosuchdatabase://ada:secret@example.org/log", 1.0, metrics)
    record(recorder, 1)
    recorder.close()
    assert "can't be written" in caplog.text and "secret" not in caplog.text


def test_a_reader_never_sees_half_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[Path]] = []
    write_table: Callable[..., Any] = prediction_files.parquet.write_table

    def looked_at(table: Any, path: Path, **options: Any) -> None:
        write_table(table, path, **options)
        assert path.exists()
        seen.append(list(tmp_path.glob("log/*/*/part-*")))

    monkeypatch.setattr(prediction_files.parquet, "write_table", looked_at)
    recorder = Recorder(str(tmp_path / "log"), 1.0, metrics)
    record(recorder, 1)
    recorder.close()
    assert seen == [[]]
    assert len(list(tmp_path.glob("log/project=titanic/date=*/*"))) == 1
