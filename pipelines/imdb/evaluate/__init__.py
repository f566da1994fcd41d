"""Sentiment: evaluation of the shipped model: scores, slices, baselines, plots."""

import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.imdb.data import Data
from pipelines.imdb.predict import Response
from roadmap import project
from roadmap.data import splits
from roadmap.evaluation import scores
from roadmap.evaluation.evaluated import EvaluatedModel
from roadmap.evaluation.scores import Score
from roadmap.project import Figures, Request

# A word of two or more letters, as in scikit-learn; in Chinese, which has no spaces, a single character.
WORD = r"[\u4e00-\u9fff]|\b[^\W\u4e00-\u9fff]{2,}\b"
SIGN = r"[\u4e00-\u9fff]|[^\W\u4e00-\u9fff]+|[^\w\s]"
CHINESE = re.compile(r"[\u4e00-\u9fff]")
TAGS = ("kind", "language")


class Evaluation(project.Evaluation[Response]):
    def score(self, targets: np.ndarray, outputs: Sequence[Response]) -> Score:
        found = scores.classification(targets["label"], np.column_stack([1 - positive(outputs), positive(outputs)]))
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

    def baselines(self, folder: Path, seed: int) -> list[dict[str, Any]]:
        """Linear models on bags of words and of word pairs, fitted on all of train and val."""
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline

        parts = [splits.read(folder, name) for name in ("train", "val")]
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
        from pipelines.imdb.evaluate import figures as text_plots
        from roadmap.evaluation import plots

        classes, chances, labels = evaluated.schema["classes"], positive(evaluated.outputs), evaluated.targets["label"]
        predictions = (chances >= 0.5).astype(int)
        texts = [request["text"] for request in evaluated.requests]
        right = predictions == labels
        found = {
            "confusion": plots.confusion(labels, predictions, classes),
            "calibration": plots.calibration(labels, chances, f"probability of {classes[1]}", f"share of {classes[1]}"),
            "accuracy_by_length": text_plots.by_length(np.array([len(text) for text in texts]), right),
            "words_that_count": text_plots.word_contributions(
                [o.contributions for o in evaluated.outputs if o.contributions], classes
            ),
            "wrong_predictions": text_plots.mistakes(texts, labels, chances, classes),
        }
        if levels := by_tag(evaluated.targets, right):
            ceiling = float((evaluated.targets["truth"] == labels).mean())
            found["accuracy_by_kind"] = text_plots.by_kind(levels, ceiling)
        return found


def positive(outputs: Sequence[Response]) -> np.ndarray:
    """Probability of the second class: [n]"""
    log_odds = np.array([output.log_odds for output in outputs])
    return 1 / (1 + np.exp(-np.clip(log_odds, -500, 500)))


def by_tag(targets: np.ndarray, right: np.ndarray) -> dict[str, float]:
    """Accuracy by the generator's tags."""
    return {
        f"accuracy_{level}": float(right[targets[tag] == level].mean())
        for tag in TAGS
        for level in np.unique(targets[tag])
        if level
    }


class NBSVM:
    """A linear SVM on words and pairs, each scaled by its naive Bayes log-count ratio, with weights interpolated
    towards their mean magnitude (Wang and Manning, "Baselines and Bigrams", 2012; C and beta are theirs)."""

    C, BETA = 0.1, 0.25

    def fit(self, texts: list[str], labels: np.ndarray) -> "NBSVM":
        from sklearn.feature_extraction.text import CountVectorizer
        from sklearn.svm import LinearSVC

        self.vectorizer = CountVectorizer(token_pattern=SIGN, ngram_range=(1, 2), binary=True)
        counts = self.vectorizer.fit_transform(texts)
        good, bad = (np.asarray(counts[labels == label].sum(axis=0)).ravel() + 1 for label in (1, 0))
        ratio = np.log((good / good.sum()) / (bad / bad.sum()))
        machine = LinearSVC(C=self.C).fit(counts.multiply(ratio).tocsr(), labels)
        weights = machine.coef_[0]
        self.weights = ratio * ((1 - self.BETA) * np.abs(weights).mean() + self.BETA * weights)
        self.bias = float(machine.intercept_[0])
        return self

    def predict(self, texts: list[str]) -> np.ndarray:
        return (self.vectorizer.transform(texts) @ self.weights + self.bias > 0).astype(int)
