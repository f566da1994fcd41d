"""Titanic: evaluation of the shipped model: scores, slices, baselines, plots."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipelines.titanic.predict import Response
from pipelines.titanic.predict.features import derive
from roadmap import project
from roadmap.evaluation import scores
from roadmap.evaluation import slices as parts
from roadmap.evaluation.classical_tables import compare_tables
from roadmap.evaluation.evaluated import EvaluatedModel
from roadmap.evaluation.scores import Score
from roadmap.io.json import JsonObject
from roadmap.project import Figures, Request

PEOPLE = ("class", "sex", "Pclass", "Sex")  # of the sample and of the passenger list


class Evaluation(project.Evaluation[Response]):
    def score(self, targets: np.ndarray, outputs: Sequence[Response]) -> Score:
        return scores.classification(targets, _probabilities(outputs))

    def slices(self, requests: list[Request], targets: np.ndarray) -> dict[str, np.ndarray]:
        return parts.levels(requests, *PEOPLE, "age")

    def fairness(self, requests: list[Request], targets: np.ndarray, outputs: Sequence[Response]) -> JsonObject:
        """By sex and class, which a user's own table may lack."""
        groups = {name: np.array([str(row[name]) for row in requests]) for name in PEOPLE if name in requests[0]}
        return parts.fairness(groups, _probabilities(outputs).argmax(axis=1) == 1, targets == 1)

    def baselines(self, folder: Path, seed: int) -> list[JsonObject]:
        return compare_tables(folder, derive, seed)

    def figures(self, evaluated: EvaluatedModel) -> Figures:
        from roadmap.evaluation import plots

        classes = evaluated.schema["classes"]
        probabilities = _probabilities(evaluated.outputs)
        found = {
            "confusion": plots.confusion(evaluated.targets, probabilities.argmax(axis=1), classes),
            "roc_pr": plots.roc_and_pr(evaluated.targets, probabilities[:, 1]),
            "calibration": plots.calibration(evaluated.targets, probabilities[:, 1]),
        }
        if groups := self.fairness(evaluated.requests, evaluated.targets, evaluated.outputs):
            found["fairness"] = plots.fairness(groups)
        return found


def _probabilities(outputs: Sequence[Response]) -> np.ndarray:
    second = np.array([output.probability for output in outputs])
    return np.stack([1 - second, second], axis=1)  # [n, 2]
