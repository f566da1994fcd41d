"""Collected rows join the prepared data, and never change their split."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fastapi.testclient import TestClient

from roadmap.config.check import check
from roadmap.data import splits
from roadmap.data.splits import RECENT, PreparedData
from roadmap.feedback import collected, recent
from roadmap.prediction_log import labels
from roadmap.prediction_log.labels import Label
from serving.http.app import create_app
from serving.settings import Settings
from tests.support import bundles
from tests.support.feedback import DATA, LABELLED, MINUTE, NOW, PARAMS, answered


def prepared_of(project: str) -> PreparedData:
    run = check(
        {
            **PARAMS,
            "project": project,
            "profile": "sample",
            "trainer": {"devices": 1, "precision": "32-true"},
            "tracking": {},
        }
    )
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
