"""The registry and the register stage: promotion, rejection, rollback, a lost store, an unreachable server."""

import json
import shutil
from collections.abc import Callable
from typing import Any

import mlflow
import pytest

from tests.support.checkouts import Checkout

LOGISTIC = ("projects.titanic.model.hidden=[]", "projects.titanic.model.dropout=0.0", "projects.titanic.model.lr=0.05")


@pytest.fixture
def clone(reproduced: Checkout, copy_of: Callable[[Checkout], Checkout]) -> Checkout:
    """A copy with its own store, in which titanic has a champion."""
    clone = copy_of(reproduced)
    for name in ("mlflow.db", "mlruns", "artifacts/titanic/champion"):
        path = clone.path(name)
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    clone.stage("register", "project=titanic")
    return clone


def client(clone: Checkout) -> Any:
    return mlflow.MlflowClient(f"sqlite:///{clone.folder}/mlflow.db")


def champion(clone: Checkout) -> str:
    return str(client(clone).get_model_version_by_alias("titanic", "champion").version)


def decision(clone: Checkout) -> dict[str, Any]:
    return json.loads(clone.path("artifacts", "titanic", "decision.json").read_text())


def retrain(clone: Checkout, *overrides: str) -> None:
    for stage in ("train", "evaluate", "register"):
        clone.stage(stage, "project=titanic", *overrides)


def test_promotion_rejection_and_rollback(clone: Checkout) -> None:
    assert champion(clone) == "1" and decision(clone)["promoted"]

    # Other weights, the same predictions: no promotion.
    retrain(clone, "projects.titanic.train.epochs=25")
    assert not decision(clone)["promoted"] and champion(clone) == "1"
    assert "no improvement" in decision(clone)["checks"]["champion"]["reason"]

    retrain(clone, *LOGISTIC, "projects.titanic.gate.minimum_improvement=-0.1")  # an equal model is good enough
    assert decision(clone)["promoted"] and champion(clone) == "3"
    assert "by the exact McNemar test" in decision(clone)["checks"]["champion"]["reason"]

    # Untrained: predicts the majority. It is logged, evaluated, and rejected by both floor and comparison.
    retrain(clone, "projects.titanic.model.lr=1e-9")
    verdict = decision(clone)
    assert not verdict["promoted"] and "refused" in verdict["summary"]
    assert not verdict["checks"]["floor"]["passed"] and not verdict["checks"]["champion"]["passed"]
    assert not verdict["checks"]["behaviour"]["passed"] and not verdict["checks"]["slices"]["passed"]
    assert {"sex", "class"} == set(verdict["fairness"])
    assert champion(clone) == "3" and verdict["version"] == 4

    done = clone.stage("register", "project=titanic", "rollback=true")
    assert "from version 3 to 1" in done.stdout and champion(clone) == "1"
    again = clone.stage("register", "project=titanic", "rollback=true", check=False)
    assert again.returncode == 2 and "there is no earlier version" in again.stderr and "Traceback" not in again.stderr

    # A rolled-back version is not promoted again automatically.
    retrain(clone, *LOGISTIC, "projects.titanic.gate.minimum_improvement=-0.1")
    assert not decision(clone)["promoted"] and "was rolled back at" in decision(clone)["summary"]

    shown = clone.stage("promotions", "project=titanic").stdout
    events = [line.split()[1] for line in shown.splitlines()]
    assert events[-6:] == ["promoted", "refused", "promoted", "refused", "rollback", "refused"]
    assert "champion 3 -> 1" in shown
    clone.path("artifacts", "titanic", "promotions.jsonl").unlink()  # on another machine the registry has the moves
    shown = clone.stage("promotions", "project=titanic").stdout
    assert [line.split()[1] for line in shown.splitlines()] == ["promoted", "promoted", "rollback"]


def test_the_run_has_parameters_curves_plots_and_lineage(clone: Checkout) -> None:
    version = client(clone).get_model_version_by_alias("titanic", "champion")
    run = client(clone).get_run(version.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params["model.lr"] == "0.01" and run.data.params["profile"] == "sample"
    assert {"git_commit", "data_sha256", "run"} <= set(run.data.tags)
    assert run.data.metrics["metrics/headline.value"] > 0.7
    curve = client(clone).get_metric_history(version.run_id, "val_loss")
    assert [point.step for point in curve] == list(range(1, len(curve) + 1)) and len(curve) >= 10
    artifacts = {file.path for file in client(clone).list_artifacts(version.run_id, "plots")}
    assert {"plots/calibration.png", "plots/baselines.png"} <= artifacts
    assert run.inputs.dataset_inputs[0].dataset.name == "titanic"


def test_registering_twice_changes_nothing(clone: Checkout) -> None:
    done = clone.stage("register", "project=titanic")
    assert "already champion" in done.stdout
    assert len(client(clone).search_model_versions("name='titanic'")) == 1


def test_a_lost_store_is_refilled_without_training(clone: Checkout) -> None:
    bundle = clone.path("artifacts", "titanic", "bundle", "bundle.json").read_bytes()
    clone.run("dvc", "repro", "-q", "register@titanic")
    for name in ("mlflow.db", "mlruns"):
        path = clone.path(name)
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    done = clone.run("dvc", "repro", "register@titanic")
    assert "register@titanic" in done.stdout and "Running stage 'train" not in done.stdout
    assert champion(clone) == "1"
    version = client(clone).get_model_version_by_alias("titanic", "champion")
    assert len(client(clone).get_metric_history(version.run_id, "val_loss")) >= 10
    assert clone.path("artifacts", "titanic", "bundle", "bundle.json").read_bytes() == bundle


def test_a_rejected_model_is_not_promoted_into_a_lost_store(clone: Checkout) -> None:
    """The champion is restored first, so the rejected candidate is rejected again."""
    retrain(clone, "projects.titanic.model.lr=1e-9")
    clone.path("mlflow.db").unlink()
    clone.stage("register", "project=titanic", "projects.titanic.gate.floor=0")
    assert not decision(clone)["promoted"]
    assert client(clone).get_model_version_by_alias("titanic", "champion").tags["run"] != json.loads(
        clone.path("artifacts", "titanic", "bundle", "bundle.json").read_text()
    )["run"]  # fmt: skip


def test_an_unreachable_server_fails_no_training(clone: Checkout) -> None:
    down = {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}
    done = clone.stage("train", "project=titanic", "projects.titanic.train.epochs=12", **down)
    assert done.stdout.count("warning: MLflow at http://127.0.0.1:9 cannot be reached") == 1
    clone.stage("evaluate", "project=titanic", "projects.titanic.train.epochs=12", **down)
    refused = clone.stage("register", "project=titanic", check=False, **down)
    assert (
        refused.returncode == 75 and refused.stderr.startswith("error: MLflow at") and "Traceback" not in refused.stderr
    )
    clone.stage(
        "register", "project=titanic", "projects.titanic.train.epochs=12"
    )  # the server is back: the run is logged
    version = client(clone).get_model_version(name="titanic", version="2")
    assert len(client(clone).get_metric_history(version.run_id, "val_loss")) == 12
