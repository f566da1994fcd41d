"""Sentiment: evaluation of the shipped model: scores, slices, baselines, plots."""

import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipelines.imdb.data import Data
from pipelines.imdb.predict import MulticlassResponse, Response
from roadmap import project
from roadmap.data import splits
from roadmap.evaluation import scores
from roadmap.evaluation.evaluated import EvaluatedModel
from roadmap.evaluation.scores import Score
from roadmap.io.json import JsonObject
from roadmap.project import Figures, Request

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

# A word of two or more letters, as in scikit-learn; in Chinese, which has no spaces, a single character.
WORD = r"[\u4e00-\u9fff]|\b[^\W\u4e00-\u9fff]{2,}\b"
SIGN = r"[\u4e00-\u9fff]|[^\W\u4e00-\u9fff]+|[^\w\s]"
CHINESE = re.compile(r"[\u4e00-\u9fff]")
TAGS = ("kind", "language")


class Evaluation(project.Evaluation[Response]):
    def score(self, targets: np.ndarray, outputs: Sequence[Response]) -> Score:
        found = scores.classification(targets["label"], probabilities(outputs))
        extra = by_tag(targets, found.per_item)
        if (targets["truth"] >= 0).all():
            extra["ceiling"] = float(
                (targets["truth"] == targets["label"]).mean()
            )  # accuracy of a model that knows every true verdict
        return Score(found.headline, found.higher_is_better, found.per_item, found.metrics | extra)

    def slices(self, requests: list[Request], targets: np.ndarray) -> dict[str, np.ndarray]:
        """By class, length and language, and by the generator's tags."""
        lengths = np.array([len(request["text"]) for request in requests])
        chinese = np.array([bool(CHINESE.search(request["text"])) for request in requests])
        third, two_thirds = np.quantile(lengths, [1 / 3, 2 / 3])
        found = {f"label={label}": targets["label"] == label for label in np.unique(targets["label"])}
        found |= {"short": lengths <= third, "long": lengths > two_thirds}
        if 0 < chinese.mean() < 1:
            found |= {"Chinese": chinese, "not Chinese": ~chinese}
        return found | {f"kind={kind}": targets["kind"] == kind for kind in np.unique(targets["kind"]) if kind}

    def baselines(self, folder: Path, seed: int) -> list[JsonObject]:
        """Linear models on bags of words and of word pairs, fitted on all of train and val."""
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline

        parts = [splits.read_table(folder, name) for name in ("train", "val")]
        texts = [text for part in parts for text in part["text"]]
        labels = np.concatenate([part["label"].to_numpy() for part in parts])
        requests, targets = Data().test_rows(folder)
        texts_ = [request["text"] for request in requests]
        models = {
            "logistic regression on TF-IDF": make_pipeline(
                TfidfVectorizer(token_pattern=WORD), LogisticRegression(max_iter=1000)
            ),
            "logistic regression on TF-IDF of pairs": make_pipeline(
                TfidfVectorizer(token_pattern=WORD, ngram_range=(1, 2)), LogisticRegression(max_iter=1000)
            ),
            "NB-SVM on pairs": NBSVM(),
        }
        rows = []
        for name, model in models.items():
            started = time.perf_counter()
            right = (model.fit(texts, labels).predict(texts_) == targets["label"]).astype(float)
            row = {"name": name, "metric": "accuracy", "test": float(right.mean()), **by_tag(targets, right)}
            rows.append({**row, "seconds": round(time.perf_counter() - started, 2)})
            print(f"  {name:38s} accuracy {right.mean():.4f}")
        return rows

    def figures(self, evaluated: EvaluatedModel) -> Figures:
        from roadmap.evaluation import plots
        from roadmap.evaluation.plots import texts as text_plots

        classes, labels = evaluated.schema["classes"], evaluated.targets["label"]
        chances = probabilities(evaluated.outputs)
        predictions = np.array([classes.index(output.label) for output in evaluated.outputs])
        texts = [request["text"] for request in evaluated.requests]
        right = predictions == labels
        found = {
            "confusion": plots.confusion(labels, predictions, classes),
            "calibration": text_plots.calibration(labels, predictions, chances, classes),
            "accuracy_by_length": text_plots.by_length(np.array([len(text) for text in texts]), right),
            "words_that_count": text_plots.word_contributions(
                [(o.label, o.contributions) for o in evaluated.outputs if o.contributions], classes
            ),
            "wrong_predictions": text_plots.mistakes(texts, labels, chances, classes),
        }
        if len(classes) > 2:
            found["classes"] = plots.per_class(labels, predictions, classes)
        if levels := by_tag(evaluated.targets, right):
            ceiling = float((evaluated.targets["truth"] == labels).mean())
            found["accuracy_by_kind"] = text_plots.by_kind(levels, ceiling)
        return found


def probabilities(outputs: Sequence[Response]) -> np.ndarray:
    """[n, classes]"""
    many = [output.probabilities for output in outputs if isinstance(output, MulticlassResponse)]
    if many and many[0]:
        return np.array([list((one or {}).values()) for one in many])
    log_odds = np.array([output.log_odds for output in outputs])
    positive = 1 / (1 + np.exp(-np.clip(log_odds, -500, 500)))
    return np.column_stack([1 - positive, positive])


def by_tag(targets: np.ndarray, right: np.ndarray) -> dict[str, float]:
    """Accuracy by the generator's tags. targets: FIELDS [n], right: [n]"""
    return {
        f"accuracy_{level}": float(right[targets[tag] == level].mean())
        for tag in TAGS
        for level in np.unique(targets[tag])
        if level
    }


class NBSVM:
    """A linear SVM on words and pairs, each scaled by its naive Bayes log-count ratio, with weights interpolated
    towards their mean magnitude (Wang and Manning, "Baselines and Bigrams", 2012; C and beta are theirs). Of more than
    two classes, one machine each against the rest."""

    C, BETA = 0.1, 0.25

    def fit(self, texts: list[str], labels: np.ndarray) -> "NBSVM":
        """labels: [n]"""
        from sklearn.feature_extraction.text import CountVectorizer

        self.vectorizer = CountVectorizer(token_pattern=SIGN, ngram_range=(1, 2), binary=True)
        counts = self.vectorizer.fit_transform(texts)
        self.classes = np.unique(labels)
        sides = self.classes[1:] if len(self.classes) == 2 else self.classes
        machines = [self.machine(counts, labels == side) for side in sides]
        self.weights = np.stack([weights for weights, _ in machines])  # [1 or classes, features]
        self.bias = np.array([bias for _, bias in machines])
        return self

    def machine(self, counts: "csr_matrix", mine: np.ndarray) -> tuple[np.ndarray, float]:
        """counts: [n, features]; mine: bool [n], the texts of one side -> weights [features], bias"""
        from sklearn.svm import LinearSVC

        good, bad = (np.asarray(counts[chosen].sum(axis=0)).ravel() + 1 for chosen in (mine, ~mine))
        ratio = np.log((good / good.sum()) / (bad / bad.sum()))
        machine = LinearSVC(C=self.C).fit(counts.multiply(ratio).tocsr(), mine.astype(int))
        weights = machine.coef_[0]
        scaled = ratio * ((1 - self.BETA) * np.abs(weights).mean() + self.BETA * weights)
        return scaled, float(machine.intercept_[0])

    def predict(self, texts: list[str]) -> np.ndarray:
        """-> labels [n]"""
        scores = self.vectorizer.transform(texts) @ self.weights.T + self.bias
        return self.classes[scores.argmax(axis=1) if len(self.classes) > 2 else (scores[:, 0] > 0).astype(int)]
