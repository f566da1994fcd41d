"""CIFAR-10: evaluation of the shipped model: scores, slices, baselines, plots."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipelines.cifar10.evaluate import robustness
from pipelines.cifar10.predict import Response
from roadmap import project
from roadmap.data import splits
from roadmap.evaluation import classical as zoo
from roadmap.evaluation import scores
from roadmap.evaluation.evaluated import EvaluatedModel
from roadmap.evaluation.scores import Score
from roadmap.inference import images
from roadmap.io.json import JsonObject
from roadmap.project import Figures, Request

BASELINE_ROWS = 5_000  # training images for the classical models, which take minutes with more
COMPONENTS = 100  # principal components in place of the 3,072 pixels
CORRUPTED_ROWS = 500  # of the test images, at every severity of every corruption
EXPLAINED = 16


class Evaluation(project.Evaluation[Response]):
    def score(self, targets: np.ndarray, outputs: Sequence[Response]) -> Score:
        return scores.classification(targets, _probabilities(outputs))

    def slices(self, requests: list[Request], targets: np.ndarray) -> dict[str, np.ndarray]:
        return {f"class={label}": targets == label for label in np.unique(targets)}

    def baselines(self, folder: Path, seed: int) -> list[JsonObject]:
        """Classical models on principal components, and logistic regression on learned patches."""
        from sklearn.decomposition import PCA

        from pipelines.cifar10.evaluate.patches import Patches

        train, test = (splits.read_arrays(folder, name) for name in ("train", "test"))
        rows = np.random.default_rng(seed).permutation(len(train["label"]))[:BASELINE_ROWS]
        x, x_test = (found.reshape(len(found), -1) / np.float32(255) for found in (train["image"][rows], test["image"]))
        pca = PCA(COMPONENTS, whiten=True, svd_solver="randomized", random_state=seed).fit(x)
        every, targets = zoo.classifiers(seed), (train["label"][rows], test["label"])
        chosen = {
            name: every[name] for name in ("logistic regression", "k nearest neighbours", "support vector machine")
        }
        found = zoo.compare(chosen, [], (pca.transform(x), targets[0], pca.transform(x_test), targets[1]), "accuracy")
        patches = Patches.fit(train["image"][rows], seed)
        seen = [patches.features(part) for part in (train["image"][rows], test["image"])]
        named = {"patches and logistic regression": every["logistic regression"].set_params(C=0.01)}
        found += zoo.compare(named, [], (seen[0], targets[0], seen[1], targets[1]), "accuracy")
        return [{**row, "rows": len(rows)} for row in found]

    def figures(self, evaluated: EvaluatedModel) -> Figures:
        from roadmap.evaluation import plots

        classes, size = evaluated.schema["classes"], evaluated.schema["size"]
        probabilities = _probabilities(evaluated.outputs)
        predictions = probabilities.argmax(axis=1)
        right = predictions == evaluated.targets
        pixels = np.stack([images.decode(request["image"], size) for request in evaluated.requests])
        predict = robustness.through(evaluated.predictor)
        sample = np.random.default_rng(0).permutation(len(pixels))[:CORRUPTED_ROWS]
        surest = np.argsort(-probabilities.max(axis=1), kind="stable")
        explained = [*surest[right[surest]][: EXPLAINED // 2], *surest[~right[surest]][: EXPLAINED // 2]]
        maps = [robustness.occlusion(predict, pixels[i], int(predictions[i])) for i in explained]
        words = [f"{classes[evaluated.targets[i]]}, predicted as\n{classes[predictions[i]]}" for i in explained]
        return {
            "confusion": plots.confusion(evaluated.targets, predictions, classes),
            "per_class": plots.per_class(evaluated.targets, predictions, classes),
            "calibration": plots.calibration(right.astype(int), probabilities.max(axis=1), "confidence", "accuracy"),
            "wrong_predictions": plots.wrong_images(pixels, evaluated.targets, probabilities, classes),
            "corruptions": plots.severities(robustness.accuracies(predict, pixels[sample], evaluated.targets[sample])),
            "variants": plots.variants(evaluated.history, "val_accuracy"),
            "occlusion": plots.heatmaps(pixels[explained], np.stack(maps), words, "Occlusion maps"),
        }


def _probabilities(outputs: Sequence[Response]) -> np.ndarray:
    return np.array([list(output.probabilities.values()) for output in outputs])  # [n, classes]
