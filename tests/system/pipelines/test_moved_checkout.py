"""Whole runs in a checkout of an unusual path, then of a copy of it, while its experiment comes and goes in MLflow."""

import json
import shutil
from pathlib import Path
from typing import Any

import mlflow
import pytest

from roadmap.tracking import local_store
from tests.support.checkouts import Checkout, checkout

OVERRIDES = ("project=titanic", "projects.titanic.train.epochs=2", "projects.titanic.gate.latency_ms=1000")


def client(clone: Checkout) -> Any:
    return mlflow.MlflowClient(local_store.address(clone.folder))


def decision(clone: Checkout) -> dict[str, Any]:
    return dict(json.loads(clone.path("artifacts", "titanic", "decision.json").read_text()))


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    clone = Checkout(checkout(tmp_path_factory.mktemp("checkouts") / "my proj %41#é?x"))
    for stage in ("prepare", "train"):
        clone.stage(stage, *OVERRIDES)
    (clone.path("artifacts", "titanic") / "baselines.json").write_text("[]")
    for stage in ("evaluate", "register"):
        clone.stage(stage, *OVERRIDES)
    return clone


def test_an_experiment_is_deleted_restored_and_renamed(clone: Checkout) -> None:
    assert decision(clone)["version"] in (1, "1")
    store = client(clone)
    experiment = store.get_experiment_by_name("titanic").experiment_id
    store.delete_experiment(experiment)
    refused = clone.stage("register", *OVERRIDES, check=False)
    assert refused.returncode == 2 and len(refused.stderr.splitlines()) == 1
    assert f"mlflow experiments restore --experiment-id {experiment}" in refused.stderr
    assert "MLflow: the experiment 'titanic'" in clone.stage("evaluate", *OVERRIDES).stdout  # and goes on
    store.restore_experiment(experiment)
    clone.stage("register", *OVERRIDES)
    assert decision(clone)["mlflow"]["experiment"] == experiment
    store.rename_experiment(experiment, "titanic-old")
    clone.stage("register", *OVERRIDES)
    assert decision(clone)["mlflow"]["experiment"] != experiment


def test_a_copy_works_by_itself(clone: Checkout, tmp_path: Path) -> None:
    copy = Checkout(tmp_path / "copy &2 %")
    shutil.copytree(clone.folder, copy.folder, symlinks=True)
    before = sorted(path for path in clone.path("mlruns").rglob("*"))
    for stage in ("train", "evaluate", "register"):
        copy.stage(stage, *OVERRIDES, "projects.titanic.model.lr=0.02")
    assert decision(copy)["bundle"] != decision(clone)["bundle"]
    assert sorted(path for path in clone.path("mlruns").rglob("*")) == before
    version = client(copy).get_model_version("titanic", str(decision(copy)["version"]))
    assert client(copy).get_run(version.run_id).info.artifact_uri.startswith(copy.path("mlruns").as_uri())
