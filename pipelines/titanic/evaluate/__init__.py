"""Titanic: how the shipped model is scored, compared and drawn."""

from pathlib import Path
from typing import Any

import numpy as np

from pipelines.titanic.predict.features import derive
from roadmap.data import splits
from roadmap.data.tabular import requests
from roadmap.evaluation import scores
from roadmap.evaluation import slices as parts
from roadmap.evaluation.classical_tables import compare_tables
from roadmap.evaluation.evaluated import Evaluated
from roadmap.evaluation.scores import Score

PEOPLE = ("class", "sex", "Pclass", "Sex")  # of the sample and of the passenger list


def test_rows(folder: Path, split: str = "test") -> tuple[list[dict[str, Any]], np.ndarray]:
    schema, frame = splits.read_card(folder)["schema"], splits.read(folder, split)
    return requests(frame, schema), frame[schema["target"]].to_numpy()


def score(targets: np.ndarray, outputs: list[Any]) -> Score:
    return scores.classification(targets, _probabilities(outputs))


def _probabilities(outputs: list[Any]) -> np.ndarray:
    second = np.array([output.probability for output in outputs])
    return np.stack([1 - second, second], axis=1)  # [n, 2]


def slices(requests: list[dict[str, Any]], targets: np.ndarray) -> dict[str, np.ndarray]:
    return parts.levels(requests, *PEOPLE, "age")


def fairness(requests: list[dict[str, Any]], targets: np.ndarray, outputs: list[Any]) -> dict[str, Any]:
    """By sex and class; a table of the user's own need not have them."""
    groups = {name: np.array([str(row[name]) for row in requests]) for name in PEOPLE if name in requests[0]}
    return parts.fairness(groups, _probabilities(outputs).argmax(axis=1) == 1, targets == 1)


def baselines(folder: Path, seed: int) -> list[dict[str, Any]]:
    return compare_tables(folder, derive, seed)


def figures(evaluated: Evaluated) -> dict[str, Any]:
    from roadmap.evaluation import plots

    classes = evaluated.schema["classes"]
    probabilities = _probabilities(evaluated.outputs)
    found = {
        "confusion": plots.confusion(evaluated.targets, probabilities.argmax(axis=1), classes),
        "roc_pr": plots.roc_and_pr(evaluated.targets, probabilities[:, 1]),
        "calibration": plots.calibration(evaluated.targets, probabilities[:, 1]),
    }
    if groups := fairness(evaluated.requests, evaluated.targets, evaluated.outputs):
        found["fairness"] = plots.fairness(groups)
    return found
