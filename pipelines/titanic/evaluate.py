"""Titanic: how the shipped model is scored, compared and drawn."""

from pathlib import Path
from typing import Any

import numpy as np

from pipelines.common import score as scores
from pipelines.common import splits, zoo
from pipelines.common.evaluation import Evaluated
from pipelines.common.score import Score
from pipelines.common.training import requests
from pipelines.titanic.features import derive


def test_rows(folder: Path, split: str = "test") -> tuple[list[dict[str, Any]], np.ndarray]:
    schema, frame = splits.read_card(folder)["schema"], splits.read(folder, split)
    return requests(frame, schema), frame[schema["target"]].to_numpy()


def score(targets: np.ndarray, outputs: list[Any]) -> Score:
    return scores.classification(targets, _probabilities(outputs))


def _probabilities(outputs: list[Any]) -> np.ndarray:
    second = np.array([output.probability for output in outputs])
    return np.stack([1 - second, second], axis=1)  # [n, 2]


def baselines(folder: Path, seed: int) -> list[dict[str, Any]]:
    return zoo.compare_tables(folder, derive, seed)


def figures(evaluated: Evaluated) -> dict[str, Any]:
    from pipelines.common import plots

    classes = evaluated.schema["classes"]
    probabilities = _probabilities(evaluated.outputs)
    return {
        "confusion": plots.confusion(evaluated.targets, probabilities.argmax(axis=1), classes),
        "roc_pr": plots.roc_and_pr(evaluated.targets, probabilities[:, 1]),
        "calibration": plots.calibration(evaluated.targets, probabilities[:, 1]),
    }
