"""Labelled rows of the prediction log become a new version of the data, and never change their split."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from fastapi.testclient import TestClient

from roadmap.config.check import check
from roadmap.data import splits
from roadmap.data.splits import RECENT, PreparedData
from roadmap.feedback import collected, recent
from roadmap.prediction_log import labels
from roadmap.prediction_log import log as recording
from roadmap.prediction_log.labels import Label, LabelledPrediction
from roadmap.prediction_log.log import PredictionRecord
from roadmap.project import TakesLabels, load_project
from serving.http.app import create_app
from serving.settings import Settings
from tests.support import bundles
from tests.support.checkouts import ROOT, Checkout, checkout, environment

PARAMS = yaml.safe_load((ROOT / "params.yaml").read_text())
DATA = {name: load_project(name).data for name in PARAMS["projects"]}
LABELLED = {name: data.labelled for name, data in DATA.items() if isinstance(data, TakesLabels)}
NOW = datetime(2026, 3, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
WOMAN = {"class": "1st", "sex": "female", "age": "adult"}


def answered(n: int, inputs: dict[str, Any] = WOMAN, label: str = "survived", **changes: Any) -> LabelledPrediction:
    fixed = {"time": NOW + n * MINUTE, "request_id": f"r{n}", "index": 0, "version": "v1", "profile": "sample"}
    return LabelledPrediction(**{**fixed, "input": inputs, "output": {}, "label": label, **changes})


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def ids(folder: Path) -> list[str]:
    return [row.request_id for row in collected.read(folder)]


# ---------------------------------------------------------------- what is collected


def test_nothing_is_collected_twice(tmp_path: Path) -> None:
    folder = tmp_path / "titanic"
    collected.begin(folder)
    assert (collected.read(folder), collected.windows(folder)) == ([], [])
    assert collected.add(folder, [answered(n) for n in range(3)], NOW) == 3
    before = contents(folder)
    assert collected.add(folder, [answered(n) for n in range(3)], NOW + MINUTE) == 0
    assert contents(folder) == before
    assert collected.add(folder, [answered(n) for n in range(5)], NOW + MINUTE) == 2
    assert ids(folder) == [f"r{n}" for n in range(5)]
    collected.begin(folder)
    assert len(ids(folder)) == 5


def test_every_collection_records_its_origin(tmp_path: Path) -> None:
    folder = tmp_path / "titanic"
    collected.add(folder, [answered(0), answered(1, version="v2")], NOW + 9 * MINUTE)
    collected.add(folder, [answered(2, version="v3")], NOW + 10 * MINUTE)
    first, second = collected.windows(folder)
    assert (first["collected"], first["since"], first["until"]) == (
        "2026-03-01T00:09:00+00:00", "2026-03-01T00:00:00+00:00", "2026-03-01T00:01:00+00:00",
    )  # fmt: skip
    assert (first["rows"], first["versions"], second["rows"], second["versions"]) == (2, ["v1", "v2"], 1, ["v3"])
    other = tmp_path / "other"
    collected.add(other, [answered(0), answered(1, version="v2")], NOW)
    assert collected.windows(other)[0]["sha256"] == first["sha256"] != second["sha256"]


def test_a_shadow_prediction_is_the_same_row(tmp_path: Path) -> None:
    assert collected.add(tmp_path / "x", [answered(0), answered(0, version="shadow")], NOW) == 1
    assert [row.version for row in collected.read(tmp_path / "x")] == ["v1"]


def test_corrected_labels_count(tmp_path: Path) -> None:
    collected.add(tmp_path / "x", [answered(0), answered(1)], NOW)
    assert collected.add(tmp_path / "x", [answered(0, label="died"), answered(1)], NOW) == 1
    assert [row.label for row in collected.read(tmp_path / "x")] == ["died", "survived"]


def test_new_rows_replace_the_oldest(tmp_path: Path) -> None:
    collected.add(tmp_path / "x", [answered(n) for n in range(4)], NOW, most=4)
    assert collected.add(tmp_path / "x", [answered(n) for n in range(6)], NOW, most=4) == 2
    assert ids(tmp_path / "x") == ["r2", "r3", "r4", "r5"]
    assert collected.add(tmp_path / "x", [answered(n) for n in range(6)], NOW, most=4) == 0


def test_a_killed_collection_leaves_the_old_one(tmp_path: Path) -> None:
    folder = tmp_path / "titanic"
    collected.add(folder, [answered(0)], NOW)
    before = contents(folder)
    code = f"""
import os, signal, sys
sys.path.insert(0, {str(ROOT)!r})
from pathlib import Path
from pyarrow import parquet
from tests.roadmap.feedback.test_collected import NOW, answered, collected
write = parquet.write_table
def killed(*arguments, **options):
    write(*arguments, **options)
    os.kill(os.getpid(), signal.SIGKILL)
parquet.write_table = killed
collected.add(Path({str(folder)!r}), [answered(1)], NOW)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment(), capture_output=True, timeout=60)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert contents(folder) == before
    assert collected.add(folder, [answered(1)], NOW) == 1


# ---------------------------------------------------------------- rows of the splits


def prepared_of(project: str) -> PreparedData:
    run = check({**PARAMS, "project": project, "profile": "sample", "trainer": {}, "tracking": {}})
    return DATA[project].prepare(run.settings.data, "sample", 42)


@pytest.fixture(scope="module")
def prepared() -> Callable[[str], PreparedData]:
    known: dict[str, PreparedData] = {}
    return lambda project: known.get(project) or known.setdefault(project, prepared_of(project))


def test_a_row_never_changes_its_split() -> None:
    found = pd.Series([recent.split_of(f"request {n}") for n in range(20_000)]).value_counts(normalize=True)
    assert found.to_dict() == pytest.approx(recent.SHARES, abs=0.015)
    names = ("a", "b", "c", "abc", "请求")
    assert [recent.split_of(name) for name in names] == [RECENT, "train", "train", RECENT, "train"]


@pytest.mark.parametrize("project", LABELLED)
def test_a_request_and_its_label_restore_the_row(
    tmp_path: Path, prepared: Callable[[str], PreparedData], project: str
) -> None:
    """The test split as requests, as in `evaluate`, and back to rows."""
    old = prepared(project)
    splits.write(tmp_path / "data", old, "sample")
    requests, _ = DATA[project].test_rows(tmp_path / "data")
    inputs = [json.loads(json.dumps(request)) for request in requests[:200]]
    test: Any = splits.read(tmp_path / "data", "test")
    target = old.schema["target"]
    truths = [old.schema["classes"][t] if "classes" in old.schema else str(t) for t in test[target][:200]]
    rows: list[dict[str, Any]] = []
    for one, truth in zip(inputs, truths, strict=True):
        row = LABELLED[project](one, old.schema)
        assert row is not None
        rows.append({**row, target: recent.target_of(truth, old.schema)})
    found = recent.like(old.splits["train"], rows, target)
    assert target in found
    for name in found:
        expected = test[name][:200]
        assert np.asarray(found[name]).dtype == np.asarray(expected).dtype, name
        np.testing.assert_array_equal(np.asarray(found[name]), np.asarray(expected), err_msg=name)


@pytest.mark.parametrize("project", LABELLED)
def test_without_collected_rows_the_data_are_unchanged(tmp_path: Path, project: str) -> None:
    old = PreparedData({}, "somewhere", "ours", {"task": "a project's own"})
    collected.begin(tmp_path / "x")
    for folder in (tmp_path / "x", tmp_path / "nowhere"):
        assert recent.with_feedback(old, folder, "sample", LABELLED[project]) is old


@pytest.mark.parametrize("project", LABELLED)
def test_rows_that_do_not_fit_are_skipped_and_reported(
    tmp_path: Path, prepared: Callable[[str], PreparedData], project: str, capsys: pytest.CaptureFixture[str]
) -> None:
    old = prepared(project)
    truth = old.schema["classes"][0] if "classes" in old.schema else "1.5"
    pictures: list[dict[str, Any]] = [{"image": [[1, 2], [3, 4]]}, {"image": "no picture"}]
    others = [*pictures, {"text": 7}, {"colour": "red"}, {"class": 1.5}]
    found = [answered(n, inputs, truth) for n, inputs in enumerate(others)]
    collected.add(tmp_path / "x", [*found, answered(9, label=truth, profile="full")], NOW)
    assert recent.with_feedback(old, tmp_path / "x", "sample", LABELLED[project]) is old
    inputs = capsys.readouterr().out
    assert "5 labelled rows skipped (other fields or another size)" in inputs
    assert "1 labelled rows skipped (profile full)" in inputs


def test_unknown_classes_are_skipped(
    tmp_path: Path, prepared: Callable[[str], PreparedData], capsys: pytest.CaptureFixture[str]
) -> None:
    collected.add(tmp_path / "x", [answered(0, label="drowned"), answered(1)], NOW)
    found = recent.with_feedback(prepared("titanic"), tmp_path / "x", "sample", LABELLED["titanic"])
    assert found.source.endswith(" + 1 labelled rows of the log")
    assert "1 labelled rows skipped (no such class)" in capsys.readouterr().out


def test_levels_and_ranges_are_widened_and_test_rows_stay(
    tmp_path: Path, prepared: Callable[[str], PreparedData]
) -> None:
    old = prepared("titanic")
    steerage = {"class": "steerage", "sex": "female", "age": None}
    collected.add(tmp_path / "x", [answered(n, steerage) for n in range(100)], NOW)
    new = recent.with_feedback(old, tmp_path / "x", "sample", LABELLED["titanic"])
    assert new.schema["columns"]["class"]["levels"] == ["1st", "2nd", "3rd", "crew", "steerage"]
    assert new.schema["columns"]["age"] == old.schema["columns"]["age"]
    assert "steerage" not in old.schema["columns"]["class"]["levels"]
    pd.testing.assert_frame_equal(new.splits["test"], old.splits["test"])
    added = {name: len(part) - len(old.splits.get(name, [])) for name, part in new.splits.items()}
    assert sum(added.values()) == 100 and added["test"] == 0 and min(added["train"], added["val"], added[RECENT]) > 0
    pd.testing.assert_frame_equal(new.splits["train"][: len(old.splits["train"])], old.splits["train"])
    assert set(new.splits[RECENT]["class"]) == {"steerage"} and new.splits[RECENT]["survived"].dtype == "int64"
    assert new.notes["windows"] == collected.windows(tmp_path / "x")

    houses = prepared("house_prices")
    house = {"area_m2": 950.0, "rooms": 9, "age_years": None, "distance_km": 3.5, "district": "moon"}
    collected.add(tmp_path / "y", [answered(n, house, "1234.5") for n in range(10)], NOW)
    columns = recent.with_feedback(houses, tmp_path / "y", "sample", LABELLED["house_prices"]).schema["columns"]
    assert columns["area_m2"] == {**houses.schema["columns"]["area_m2"], "max": 950.0}
    assert columns["age_years"] == houses.schema["columns"]["age_years"]
    assert "moon" in columns["district"]["levels"]


def test_known_texts_and_images_are_skipped(tmp_path: Path, prepared: Callable[[str], PreparedData]) -> None:
    old = prepared("imdb")
    known = [{"text": old.splits[name]["text"][0]} for name in splits.SPLITS]
    texts = [*known, {"text": "new"}, {"text": "new"}, {"text": "newer"}]
    collected.add(tmp_path / "x", [answered(n, text, "negative") for n, text in enumerate(texts)], NOW)
    new = recent.with_feedback(old, tmp_path / "x", "sample", LABELLED["imdb"])
    assert new.source.endswith(" + 2 labelled rows of the log")
    every = pd.concat(new.splits.values())
    assert every["text"].is_unique and {"new", "newer"} <= set(every["text"])

    digits = prepared("mnist")
    image = digits.splits["test"]["image"][0]
    pictures = [{"image": one.tolist()} for one in (image, 255 - image, 255 - image)]
    collected.add(tmp_path / "y", [answered(n, picture, "3") for n, picture in enumerate(pictures)], NOW)
    assert " + 1 " in recent.with_feedback(digits, tmp_path / "y", "sample", LABELLED["mnist"]).source


def test_logged_requests_are_valid_training_rows(tmp_path: Path) -> None:
    log = str(tmp_path / "log")
    artifacts = bundles.make_all(tmp_path / "artifacts")
    made = [name for name in LABELLED if (artifacts / name).exists()]
    assert len(made) > 2
    schemas = {name: json.loads((artifacts / name / "bundle" / "schema.json").read_text()) for name in made}
    with TestClient(create_app(Settings(bundles=str(artifacts), predictions=log))) as client:
        for name in made:
            example = json.loads((artifacts / name / "bundle" / "example.json").read_text())
            response = client.post(f"/models/{name}/predict", json={"inputs": example}, headers={"X-Request-ID": "abc"})
            assert response.status_code == 200
    now = datetime.now(UTC)
    for name in made:
        labels.write(log, name, [Label("abc", 0, "1", now)])
        (one,) = labels.labelled(log, name, now - timedelta(hours=1), now + MINUTE)
        assert LABELLED[name](one.input, schemas[name]) is not None, one.input


# ---------------------------------------------------------------- the stages


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    yield Checkout(checkout(tmp_path_factory.mktemp("collect") / "clone"))


def drifted(log: Path, requests: range) -> None:
    """Requests of a day on which the crew survives, with their labels."""
    now = datetime.now(UTC)
    inputs = json.dumps({"class": "crew", "sex": "male", "age": "adult"})
    rows = [PredictionRecord(now - MINUTE, f"r{n}", "titanic", "v1", "sample", inputs, "{}", 0.01) for n in requests]
    recording.open_store(str(log)).write(rows)
    labels.write(str(log), "titanic", [Label(f"r{n}", 0, "survived", now) for n in requests])


def ran(output: str) -> list[str]:
    """The stages that ran, without `store`, which always runs."""
    stages = [line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage '")]
    return [stage for stage in stages if stage != "store"]


@pytest.mark.parametrize("project", sorted(set(DATA) - set(LABELLED)))
def test_projects_that_take_no_labels_collect_nothing(clone: Checkout, tmp_path: Path, project: str) -> None:
    done = clone.stage("collect", f"project={project}", SERVING_PREDICTIONS=str(tmp_path))
    assert "nothing to collect, the project takes no labels" in done.stdout
    assert json.loads(clone.path("feedback", project, "windows.json").read_text()) == []


def test_an_unreachable_log_is_a_temporary_failure(clone: Checkout) -> None:
    url = "sqlite:////nowhere/at/all/log.db"
    done = clone.stage("collect", "project=mnist", check=False, SERVING_PREDICTIONS=url)
    assert (done.returncode, done.stderr.count("\n")) == (75, 1)
    assert "SERVING_PREDICTIONS: unreadable (OperationalError)" in done.stderr


@pytest.mark.slow
def test_collected_rows_are_a_new_data_version(clone: Checkout, tmp_path: Path) -> None:
    log = tmp_path / "log"
    drifted(log, range(200))
    first = clone.run("dvc", "repro", "prepare@titanic").stdout
    assert ran(first) == ["collect@titanic", "prepare@titanic"]
    assert ran(clone.run("dvc", "repro", "prepare@titanic", SERVING_PREDICTIONS=str(log)).stdout) == []
    old = card(clone)
    test = clone.path("data", "titanic", "test.parquet").read_bytes()

    forced = ["dvc", "repro", "--force", "--single-item", "collect@titanic"]
    assert "200 labelled rows added, 200 in all" in clone.run(*forced, SERVING_PREDICTIONS=str(log)).stdout
    status = json.loads(clone.run("dvc", "status", "--json", "prepare@titanic").stdout)
    assert "feedback/titanic" in json.dumps(status["prepare@titanic"])
    clone.run("dvc", "repro", "evaluate@titanic")
    new = card(clone)
    assert new["source"] == f"{old['source']} + 200 labelled rows of the log"
    assert new["windows"][0]["rows"] == 200 and new["sha256"] != old["sha256"]
    assert clone.path("data", "titanic", "test.parquet").read_bytes() == test
    assert sum(new["rows"].values()) == sum(old["rows"].values()) + 200
    assert 50 < new["rows"][RECENT] < 90
    metrics = json.loads(clone.path("artifacts", "titanic", "metrics.json").read_text())
    assert metrics["rows"]["test"] == old["rows"]["test"] and metrics["source"] == new["source"]

    assert "0 labelled rows added, 200 in all" in clone.run(*forced, SERVING_PREDICTIONS=str(log)).stdout
    assert ran(clone.run("dvc", "repro", "evaluate@titanic").stdout) == []


def card(clone: Checkout) -> dict[str, Any]:
    return dict(json.loads(clone.path("data", "titanic", "card.json").read_text()))
