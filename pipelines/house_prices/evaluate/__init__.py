"""House prices: how the shipped model is scored, compared and drawn."""

from pathlib import Path
from typing import Any

import numpy as np

from pipelines.house_prices.predict.features import derive
from roadmap.data import splits
from roadmap.data.tabular import requests
from roadmap.evaluation import scores
from roadmap.evaluation import slices as parts
from roadmap.evaluation.classical_tables import compare_tables
from roadmap.evaluation.evaluated import Evaluated
from roadmap.evaluation.scores import Score


def test_rows(folder: Path, split: str = "test") -> tuple[list[dict[str, Any]], np.ndarray]:
    schema, frame = splits.read_card(folder)["schema"], splits.read(folder, split)
    return requests(frame, schema), frame[schema["target"]].to_numpy()


def score(targets: np.ndarray, outputs: list[Any]) -> Score:
    return scores.regression(targets, np.array([output.prediction for output in outputs]))


def slices(requests: list[dict[str, Any]], targets: np.ndarray) -> dict[str, np.ndarray]:
    """Where the house stands, and whether it is dear."""
    dear = targets > np.median(targets)
    return {**parts.levels(requests, "district", "ocean_proximity"), "cheap": ~dear, "dear": dear}


def baselines(folder: Path, seed: int) -> list[dict[str, Any]]:
    return compare_tables(folder, derive, seed)


def figures(evaluated: Evaluated) -> dict[str, Any]:
    from roadmap.evaluation import plots

    predictions = np.array([output.prediction for output in evaluated.outputs])
    return {
        "predicted_vs_actual": plots.predicted_vs_actual(evaluated.targets, predictions),
        "residuals": plots.residuals(evaluated.targets, predictions),
        "convergence": plots.convergence(evaluated.history, "train_loss"),
    }
