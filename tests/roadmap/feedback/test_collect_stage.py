"""The stage `collect`: labelled rows of the prediction log are a new version of the data."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from roadmap.data.splits import RECENT
from roadmap.prediction_log import labels
from roadmap.prediction_log import log as recording
from roadmap.prediction_log.labels import Label
from roadmap.prediction_log.log import PredictionRecord
from tests.support.checkouts import Checkout, checkout
from tests.support.feedback import DATA, LABELLED, MINUTE


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
