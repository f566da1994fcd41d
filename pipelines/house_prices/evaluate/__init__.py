"""House prices: evaluation of the shipped model: scores, slices, baselines, plots."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipelines.house_prices.predict import Response
from pipelines.house_prices.predict.features import derive
from roadmap import project
from roadmap.evaluation import scores
from roadmap.evaluation import slices as parts
from roadmap.evaluation.classical_tables import compare_tables
from roadmap.evaluation.evaluated import EvaluatedModel
from roadmap.evaluation.scores import Score
from roadmap.io.json import JsonObject
from roadmap.project import Figures, Request


class Evaluation(project.Evaluation[Response]):
    def score(self, targets: np.ndarray, outputs: Sequence[Response]) -> Score:
        return scores.regression(targets, np.array([output.prediction for output in outputs]))

    def slices(self, requests: list[Request], targets: np.ndarray) -> dict[str, np.ndarray]:
        """Slices by location and by price."""
        dear = targets > np.median(targets)
        return {**parts.levels(requests, "district", "ocean_proximity"), "cheap": ~dear, "dear": dear}

    def baselines(self, folder: Path, seed: int) -> list[JsonObject]:
        return compare_tables(folder, derive, seed)

    def figures(self, evaluated: EvaluatedModel) -> Figures:
        from roadmap.evaluation import plots

        predictions = np.array([output.prediction for output in evaluated.outputs])
        return {
            "predicted_vs_actual": plots.predicted_vs_actual(evaluated.targets, predictions),
            "residuals": plots.residuals(evaluated.targets, predictions),
            "convergence": plots.convergence(evaluated.history, "train_loss"),
        }
