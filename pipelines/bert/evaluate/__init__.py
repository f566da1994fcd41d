"""Evaluation of the shipped classifier: accuracy, what is out of scope, slices, baselines, plots."""

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipelines.bert.data import NONE, TAGS
from pipelines.bert.predict import Response
from roadmap import project
from roadmap.data import splits
from roadmap.evaluation import scores
from roadmap.evaluation.evaluated import EvaluatedModel
from roadmap.evaluation.scores import Score
from roadmap.io.json import JsonObject
from roadmap.project import Figures, Request


class Evaluation(project.Evaluation[Response]):
    def score(self, targets: np.ndarray, outputs: Sequence[Response]) -> Score:
        """Accuracy: of a text with a class, its label is right; one without is right if it is out of scope."""
        known = targets["label"] != NONE
        chances = probabilities(outputs)
        found = scores.classification(targets["label"][known], chances[known])
        flagged = np.array([output.out_of_scope for output in outputs])
        per_item = flagged.astype(np.float64)
        per_item[known] = found.per_item
        metrics = found.metrics | {"accuracy_in_scope": float(found.per_item.mean())}
        metrics["false_alarms"] = float(flagged[known].mean())
        if not known.all():
            score = np.array([output.scope_score for output in outputs])
            metrics["out_of_scope_auroc"] = scores.roc_auc(~known, score)
            metrics["out_of_scope_recall"] = float(flagged[~known].mean())
        return Score(found.headline, found.higher_is_better, per_item, metrics | by_tag(targets, per_item))

    def slices(self, requests: list[Request], targets: np.ndarray) -> dict[str, np.ndarray]:
        """By class, length, and the generator's tags."""
        lengths = np.array([len(request["text"]) for request in requests])
        third, two_thirds = np.quantile(lengths, [1 / 3, 2 / 3])
        found = {"short": lengths <= third, "long": lengths > two_thirds}
        labels = [label for label in np.unique(targets["label"]) if label != NONE]
        found |= {f"label={label}": targets["label"] == label for label in labels}
        return found | {
            f"{tag}={level}": targets[tag] == level for tag in TAGS for level in np.unique(targets[tag]) if level
        }

    def baselines(self, folder: Path, seed: int) -> list[JsonObject]:
        """On the texts that have a class: logistic regression on TF-IDF, the most frequent class, and chance."""
        parts = [splits.read_table(folder, name) for name in ("train", "val", "test")]
        labels = [part["label"].to_numpy() for part in parts]
        fitted, test = np.concatenate(labels[:2]), labels[2]
        texts = [text for part in parts[:2] for text in part["text"]]
        started = time.perf_counter()
        guess = tfidf(texts, fitted).predict(parts[2]["text"])
        seconds = round(time.perf_counter() - started, 2)
        classes = len(splits.read_card(folder)["schema"]["classes"])
        frequent = np.bincount(fitted).argmax()
        rows: list[JsonObject] = [
            {"name": "logistic regression on TF-IDF", "test": float((guess == test).mean()), "seconds": seconds},
            {"name": "most frequent class", "test": float((test == frequent).mean())},
            {"name": "chance", "test": 1 / classes},
        ]
        for row in rows:
            print(f"  {row['name']:32s} accuracy {row['test']:.4f}")
        return [{**row, "metric": "accuracy"} for row in rows]

    def figures(self, evaluated: EvaluatedModel) -> Figures:
        from roadmap.evaluation import plots
        from roadmap.evaluation.plots import texts as text_plots

        known = evaluated.targets["label"] != NONE
        classes, labels = evaluated.schema["classes"], evaluated.targets["label"][known]
        chances = probabilities(evaluated.outputs)[known]
        predictions = chances.argmax(axis=1)
        texts = [request["text"] for request, inside in zip(evaluated.requests, known, strict=True) if inside]
        explained = [(one.label, one.contributions) for one in evaluated.outputs if one.contributions]
        found = {
            "confusion": plots.confusion(labels, predictions, classes),
            "calibration": text_plots.calibration(labels, predictions, chances, classes),
            "accuracy_by_length": text_plots.by_length(np.array([len(text) for text in texts]), predictions == labels),
            "words_that_count": text_plots.word_contributions(explained, classes, seldom=2),
            "wrong_predictions": text_plots.mistakes(texts, labels, chances, classes),
        }
        if len(classes) > 2:
            found["classes"] = plots.per_class(labels, predictions, classes)
        if not known.all():
            score = np.array([output.scope_score for output in evaluated.outputs])
            found["out_of_scope"] = text_plots.out_of_scope(score, evaluated.targets["kind"], known)
        return found


def tfidf(texts: Sequence[str], labels: np.ndarray):  # type: ignore[no-untyped-def]
    """Logistic regression on words and pairs of them; of Chinese, on characters and pairs. labels: [n]"""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    words = TfidfVectorizer(token_pattern=WORD, ngram_range=(1, 2), sublinear_tf=True)
    return make_pipeline(words, LogisticRegression(C=10, max_iter=200)).fit(texts, labels)


WORD = r"[\u4e00-\u9fff]|[^\W\u4e00-\u9fff]+"


def probabilities(outputs: Sequence[Response]) -> np.ndarray:
    """[n, classes]"""
    return np.array([list(output.probabilities.values()) for output in outputs])


def by_tag(targets: np.ndarray, right: np.ndarray) -> dict[str, float]:
    """Accuracy by the generator's tags. targets: FIELDS [n], right: [n]"""
    return {
        f"accuracy_{level}": float(right[targets[tag] == level].mean())
        for tag in TAGS
        for level in np.unique(targets[tag])
        if level
    }
