"""`python -m pipelines.monitor` on the prediction logs of trained projects."""

import json
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from roadmap.prediction_log import log as recording
from tests.support.airflow_runs import listening
from tests.support.checkouts import ROOT, Checkout

PROJECTS = list(yaml.safe_load((ROOT / "params.yaml").read_text())["projects"])

# A simulated server log: the project's own test rows, changed by an expression of `row` and `rng`.
ANSWERED = """
import json, sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
import numpy as np
from roadmap.bundle import Bundle, load_predictor
from roadmap.prediction_log.log import open_store
from roadmap.prediction_log.row import PredictionRecord
from roadmap.project import load_project

project, log, count, change = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
members, data = load_project(project), Path("data") / project
rows = members.monitoring.requests(data, Bundle(f"artifacts/{project}/bundle")) or members.data.test_rows(data)[0]
rng = np.random.default_rng(5)
rows = [rows[number] for number in rng.integers(0, len(rows), count)]
rows = [eval(change, {"row": row, "rng": rng}) for row in rows]
bundle = Bundle(f"artifacts/{project}/bundle")
predictor = load_predictor(bundle)
asked = [predictor.Request.model_validate(row) for row in rows]
found, now = predictor.predict(asked), datetime.now(UTC)
open_store(log).write([
    PredictionRecord(now - timedelta(seconds=count - number), f"r{number}", project, bundle.manifest.version, "sample",
        one.model_dump_json(by_alias=True), json.dumps(answer.model_dump()), 0.01)
    for number, (one, answer) in enumerate(zip(asked, found))
])
"""
SHIFTED = "{**row, 'class': '1st' if rng.random() < 0.6 else row['class']}"


@pytest.fixture
def trained(reproduced: Checkout, copy_of: Callable[[Checkout], Checkout]) -> Checkout:
    return copy_of(reproduced)


def answered(clone: Checkout, project: str, log: Any, count: int = 300, change: str = "row") -> None:
    clone.run("python", "-c", ANSWERED, project, str(log), str(count), change, PYTHONPATH=".")


def look(clone: Checkout, project: str, log: Any, *overrides: str, **env: str) -> dict[str, Any]:
    clone.stage("monitor", f"project={project}", *overrides, SERVING_PREDICTIONS=str(log), **env)
    return verdict(clone, project)


def verdict(clone: Checkout, project: str) -> dict[str, Any]:
    return dict(json.loads(clone.path("artifacts", project, "monitoring", "verdict.json").read_text()))


def test_the_test_rows_show_no_drift_for_every_project(trained: Checkout, tmp_path: Path) -> None:
    for project in PROJECTS:
        answered(trained, project, tmp_path / "log")
        found = look(trained, project, tmp_path / "log", "tracking=none")
        assert found["verdict"] == "quiet", found["summary"]
        assert found["rows"] == 300 and not found["retrain"] and found["findings"]
        page = trained.path("artifacts", project, "monitoring", "report.html").read_text()
        assert page.count("<svg") >= 2 and all(one["column"] in page for one in found["findings"])


@pytest.mark.parametrize("place", ["folder", "sqlite"])
def test_drift_requests_one_retraining_and_then_cools_down(trained: Checkout, tmp_path: Path, place: str) -> None:
    log = tmp_path / "log" if place == "folder" else f"sqlite:///{tmp_path}/log.db"
    answered(trained, "titanic", log, change=SHIFTED)
    with listening() as gateway:
        found = look(trained, "titanic", log, PROMETHEUS_PUSHGATEWAY=gateway.url)
    assert found["verdict"] == "drift" and found["retrain"], found
    assert found["findings"][0]["column"] == "class" and "class: values differ by" in found["summary"]
    ((_, pushed),) = gateway.received
    assert b'roadmap_drift_detected{project="titanic"} 1.0' in pushed
    assert b'roadmap_drift_statistic{column="class",project="titanic"}' in pushed
    assert b'roadmap_test_score{metric="accuracy",profile="sample",project="titanic"} 0.8' in pushed

    again = look(trained, "titanic", log)
    assert again["verdict"] == "drift" and not again["retrain"] and "cooling down" in again["why"]
    block = "projects.titanic.monitor"
    third = look(trained, "titanic", log, f"+{block}.cooldown_days=0", f"+{block}.budget=1")
    assert not third["retrain"] and "budget is exhausted" in third["why"]
    assert look(trained, "titanic", log, f"+{block}.cooldown_days=0")["retrain"]


@pytest.mark.parametrize(("flipped", "verdict"), [(0.0, "quiet"), (0.5, "drift")])
def test_late_labels_give_a_live_score(trained: Checkout, tmp_path: Path, flipped: float, verdict: str) -> None:
    """The champion's own predictions as labels, some of them flipped."""
    log = tmp_path / "log"
    answered(trained, "titanic", log)
    rows = list(recording.read(str(log), "titanic", datetime(2026, 1, 1, tzinfo=UTC), datetime.now(UTC)))
    lines = ["request_id,label"]
    for number, row in enumerate(rows):
        other = number < flipped * len(rows)
        died = (json.loads(row.output)["label"] == "died") != other
        lines.append(f"{row.request_id},{'died' if died else 'survived'}")
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    trained.stage("label", "project=titanic", f"file={tmp_path}/labels.csv", SERVING_PREDICTIONS=str(log))
    found = look(trained, "titanic", log)
    assert found["verdict"] == verdict, found["summary"]
    assert found["live"]["labels"] == 300 and found["live"]["value"] == 1 - flipped
    assert found["retrain"] is (verdict == "drift")
    assert "Performance" in trained.path("artifacts", "titanic", "monitoring", "report.html").read_text()


def test_each_monitoring_run_is_in_mlflow(trained: Checkout, tmp_path: Path) -> None:
    answered(trained, "titanic", tmp_path / "log", change=SHIFTED)
    look(trained, "titanic", tmp_path / "log")
    message = trained.run(
        "python", "-c",
        "import mlflow; mlflow.set_tracking_uri('sqlite:///mlflow.db')\n"
        "(run,) = mlflow.search_runs(experiment_names=['titanic-monitor'], output_format='list')\n"
        "print(run.data.tags['verdict'], run.data.tags['retrain'], run.data.metrics['drifted'], "
        "sorted(f.path for f in mlflow.artifacts.list_artifacts(run_id=run.info.run_id)))",
    ).stdout  # fmt: skip
    assert message.split("\n")[-2] == "drift yes 1.0 ['report.html', 'verdict.json']"


def test_disabled_monitoring_and_too_few_rows(trained: Checkout, tmp_path: Path) -> None:
    answered(trained, "titanic", tmp_path / "log", 50, SHIFTED)
    few = look(trained, "titanic", tmp_path / "log", "tracking=none")
    assert few["verdict"] == "too few rows" and "50 predictions" in few["summary"] and "at least 200" in few["summary"]
    off = look(trained, "titanic", tmp_path / "log", "projects.titanic.monitor.enabled=false", "tracking=none")
    assert off["verdict"] == "off" and not off["retrain"]


def test_other_versions_and_unreadable_rows_are_skipped(trained: Checkout, tmp_path: Path) -> None:
    answered(trained, "titanic", tmp_path / "log")
    trained.run(
        "python", "-c",
        "import sys; from datetime import UTC, datetime; from roadmap.prediction_log.log import open_store\n"
        "from roadmap.prediction_log.row import PredictionRecord\n"
        "from roadmap.bundle import Bundle; version = Bundle('artifacts/titanic/bundle').manifest.version\n"
        "row = PredictionRecord(datetime.now(UTC), 'x', 'titanic', version, 'sample', '{\"wrong\": 1}', '{}', 0.1)\n"
        "open_store(sys.argv[1]).write([row] * 3 + [row._replace(version='challenger')] * 400)",
        str(tmp_path / "log"), PYTHONPATH=".",
    )  # fmt: skip
    found = look(trained, "titanic", tmp_path / "log", "tracking=none")
    assert found["rows"] == 300 and found["verdict"] == "quiet"
    assert ">3<" in trained.path("artifacts", "titanic", "monitoring", "report.html").read_text()


@pytest.mark.parametrize(
    ("env", "message"),
    [
        ({}, "SERVING_PREDICTIONS: not set"),
        ({"SERVING_PREDICTIONS": "nowhere"}, "found no champion"),
    ],
)
def test_missing_inputs_are_one_line(clone: Checkout, env: dict[str, str], message: str) -> None:
    done = clone.stage("monitor", "project=titanic", check=False, **env)
    assert done.returncode == 2 and message in done.stderr and "Traceback" not in done.stderr
    assert not clone.path("artifacts", "titanic", "monitoring").exists()


def test_a_missing_log_is_named(trained: Checkout, tmp_path: Path) -> None:
    found = look(trained, "titanic", tmp_path / "nowhere", "tracking=none")
    assert found["verdict"] == "too few rows" and f"(folder {tmp_path}/nowhere does not exist)" in found["summary"]
    url = "postgresql://somebody:secret@127.0.0.1:9/log"
    done = trained.stage("monitor", "project=titanic", "tracking=none", check=False, SERVING_PREDICTIONS=url)
    assert done.returncode == 75 and "SERVING_PREDICTIONS: unreadable" in done.stderr
    assert "secret" not in done.stderr + done.stdout


def test_a_bundle_without_a_reference_is_reported(trained: Checkout, tmp_path: Path) -> None:
    code = (
        "import json, pathlib; from roadmap.bundle import Bundle, Manifest, write_manifest\n"
        "folder = pathlib.Path('artifacts/titanic/bundle'); about = Bundle(folder).manifest.model_dump()\n"
        "(folder / 'reference.json').unlink(); about.pop('files'); write_manifest(folder, **about)"
    )
    trained.run("python", "-c", code, PYTHONPATH=".")
    done: subprocess.CompletedProcess[str] = trained.stage(
        "monitor", "project=titanic", "tracking=none", check=False, SERVING_PREDICTIONS=str(tmp_path)
    )
    assert done.returncode == 2 and "has no reference.json; train again" in done.stderr
