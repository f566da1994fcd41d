"""MNIST: evaluation of the shipped model: scores, slices, baselines, plots."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipelines.mnist.predict import Response
from roadmap import project
from roadmap.data import splits
from roadmap.evaluation import classical as zoo
from roadmap.evaluation import scores
from roadmap.evaluation.evaluated import EvaluatedModel
from roadmap.evaluation.scores import Score
from roadmap.io.json import JsonObject
from roadmap.project import Figures, Request

BASELINE_ROWS = 10_000  # training images for the classical models, which take minutes with more


class Evaluation(project.Evaluation[Response]):
    def score(self, targets: np.ndarray, outputs: Sequence[Response]) -> Score:
        return scores.classification(targets, _probabilities(outputs))

    def slices(self, requests: list[Request], targets: np.ndarray) -> dict[str, np.ndarray]:
        return {f"digit={digit}": targets == digit for digit in np.unique(targets)}

    def baselines(self, folder: Path, seed: int) -> list[JsonObject]:
        """Classical models on raw pixels, from at most BASELINE_ROWS training images."""
        train, test = (splits.read_arrays(folder, name) for name in ("train", "test"))
        rows = np.random.default_rng(seed).permutation(len(train["digit"]))[:BASELINE_ROWS]
        x_train, x_test = (images.reshape(len(images), -1) / 255 for images in (train["image"][rows], test["image"]))
        every = zoo.classifiers(seed)
        chosen = ("logistic regression", "k nearest neighbours", "support vector machine", "random forest")
        found = zoo.compare(
            {name: every[name] for name in chosen},
            [],
            (x_train, train["digit"][rows], x_test, test["digit"]),
            "accuracy",
        )
        return [{**row, "rows": min(len(rows), row.get("rows", len(rows)))} for row in found]

    def figures(self, evaluated: EvaluatedModel) -> Figures:
        from roadmap.evaluation import plots

        probabilities = _probabilities(evaluated.outputs)
        predictions = probabilities.argmax(axis=1)
        images = np.array([request["image"] for request in evaluated.requests])
        return {
            "confusion": plots.confusion(evaluated.targets, predictions, evaluated.schema["classes"]),
            "calibration": plots.calibration(
                (predictions == evaluated.targets).astype(int), probabilities.max(axis=1), "confidence", "accuracy"
            ),
            "wrong_predictions": plots.wrong_images(images, evaluated.targets, probabilities),
        }


def _probabilities(outputs: Sequence[Response]) -> np.ndarray:
    return np.array([output.probabilities for output in outputs])  # [n, 10]
