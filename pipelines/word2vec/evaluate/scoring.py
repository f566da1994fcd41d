"""Analogies answered, and Spearman's correlation with people's scores."""

from dataclasses import dataclass, field

import numpy as np

from roadmap.evaluation.scores import RESAMPLES, Score

HEADLINE = "analogy_accuracy"


@dataclass(frozen=True)
class Answered(Score):
    """The analogies among the test rows are the items. analogies: bool [rows]; per_item: [analogies]"""

    analogies: np.ndarray = field(default_factory=lambda: np.ones(0, bool))

    def subset(self, rows: np.ndarray) -> Score:
        return super().subset(rows[self.analogies])


def spearman(people: np.ndarray, cosines: np.ndarray) -> float:
    """The correlation of the ranks, ties sharing theirs; 0 if all are equal. people, cosines: [n]"""
    return float(_correlation(people[None], cosines[None])[0])


def interval(people: np.ndarray, cosines: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """95% percentile bootstrap interval of `spearman`; the ranks are those within each resample."""
    rows = np.random.default_rng(seed).integers(0, len(people), (RESAMPLES, len(people)))
    low, high = np.percentile(_correlation(people[rows], cosines[rows]), [2.5, 97.5])
    return float(low), float(high)


def _correlation(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Of the ranks of each row. a, b: [k, n] -> [k]"""
    from scipy.stats import rankdata

    a, b = (rankdata(one, axis=1) - (one.shape[1] + 1) / 2 for one in (a, b))
    return (a * b).sum(axis=1) / np.maximum(np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1)), 1e-12)


def by_vectors(vectors: np.ndarray, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What vectors answer: the word of each analogy, and the cosine of a and b.

    vectors: [vocab, width]; numbers: a, b, c of each question, int [n, 3] -> int [n], float [n]
    """
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    a, b, c = numbers.T
    found = np.zeros(len(numbers), int)
    for start in range(0, len(numbers), 500):
        part = slice(start, start + 500)
        scores = (unit[b[part]] - unit[a[part]] + unit[c[part]]) @ unit.T
        np.put_along_axis(scores, numbers[part], -np.inf, axis=1)
        found[part] = scores.argmax(axis=1)
    return found, (unit[a] * unit[b]).sum(axis=1)
