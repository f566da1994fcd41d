"""The official datasets reach the reported figures. Needs DATA_MIRROR."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from tests.support.checkouts import Checkout, checkout

pytestmark = [
    pytest.mark.mirror,
    pytest.mark.skipif(not os.environ.get("DATA_MIRROR"), reason="DATA_MIRROR names no folder with the official files"),
]


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """With profile full, and without variants, which are trained for their curves alone."""
    clone = Checkout(checkout(tmp_path_factory.mktemp("full") / "clone"))
    params = yaml.safe_load(clone.path("params.yaml").read_text())
    params["profile"] = "full"
    for project in params["projects"].values():
        project["variants"] = {}
    clone.path("params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    return clone


def metrics(full: Checkout, project: str) -> dict[str, Any]:
    full.run("dvc", "repro", "-q", f"evaluate@{project}", timeout=600, TRACKING="none")
    return dict(json.loads(full.path("artifacts", project, "metrics.json").read_text()))


def test_house_prices_matches_the_closed_form(full: Checkout, monkeypatch: pytest.MonkeyPatch) -> None:
    found = metrics(full, "house_prices")
    monkeypatch.chdir(full.folder)
    from sklearn.linear_model import LinearRegression

    from pipelines.house_prices.predict.features import derive
    from roadmap.data.tabular import TabularDataset

    table = TabularDataset.load(Path("data/house_prices"), derive, ("train", "val", "test"))
    closed = LinearRegression().fit(table.x["train"], table.y["train"])
    rmse = float(np.sqrt(((closed.predict(table.x["test"]) - table.y["test"]) ** 2).mean()))
    assert found["metrics"]["rmse"] == pytest.approx(rmse, rel=0.005)
    assert found["baselines"]["XGBoost"]["test"] >= 0.83


def test_titanic_best_model_by_cross_validation(full: Checkout) -> None:
    found = metrics(full, "titanic")
    best = max(row["cv_mean"] for row in found["baselines"].values())
    assert best >= 0.82
    assert found["headline"]["value"] >= 0.78
    assert full.path("artifacts", "titanic", "plots", "calibration.png").exists()


def test_mnist_accuracy(full: Checkout) -> None:
    """Without its baselines, which take several times as long as the network."""
    artifacts = full.path("artifacts", "mnist")
    artifacts.mkdir(parents=True)
    (artifacts / "baselines.json").write_text("[]")
    for stage in ("prepare", "train", "evaluate"):
        full.stage(stage, "project=mnist", timeout=600, TRACKING="none")
    found = json.loads((artifacts / "metrics.json").read_text())
    assert found["rows"]["test"] == 10_000
    assert found["headline"]["value"] >= 0.993
