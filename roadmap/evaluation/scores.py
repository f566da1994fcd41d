"""Scores on the test split, with the per-item values that bootstrap intervals and paired comparisons need."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

RESAMPLES = 2_000


def _identity(means: np.ndarray) -> np.ndarray:
    return means


@dataclass(frozen=True)
class Score:
    """A headline metric that is a function of a mean over items, and further metrics.

    per_item  [n], e.g. 1.0 where the prediction is right, or the squared error; or [n, k], e.g. the counts behind BLEU
    reduce    mean of per_item -> headline, elementwise; of [..., k] -> [...]
    block     length of the bootstrap's blocks, for correlated neighbours such as overlapping forecasts
    """

    headline: str
    higher_is_better: bool
    per_item: np.ndarray
    metrics: dict[str, float]
    reduce: Callable[[np.ndarray], np.ndarray] = _identity
    block: int = 1

    @property
    def value(self) -> float:
        return float(self.reduce(self.per_item.mean(axis=0, keepdims=True))[0])

    @property
    def worst_tenth(self) -> float:
        """The headline of the tenth of the items that lower it most, one at least: a mean hides rare failures."""
        ranked = np.argsort(self.influence() * (1 if self.higher_is_better else -1), kind="stable")
        worst = np.isin(np.arange(len(ranked)), ranked[: max(1, len(ranked) // 10)])
        return self.subset(worst).value

    @property
    def is_mean(self) -> bool:
        """Whether the headline is the plain mean of the items."""
        return self.reduce is _identity

    def subset(self, rows: np.ndarray) -> "Score":
        """The score of a subset. rows: bool [n]

        R2 keeps the variance of all rows, so that gains of subsets and of the whole are comparable.
        """
        places = np.flatnonzero(rows)
        # Rows are in order of time: a subset with every eighth row has an eighth of each block.
        density = len(places) / (places[-1] - places[0] + 1) if len(places) else 1.0
        return replace(self, per_item=self.per_item[places], metrics={}, block=max(1, math.ceil(self.block * density)))

    def bootstrap(self, seed: int) -> np.ndarray:
        """The headline of RESAMPLES bootstrap samples; the same seed draws the same rows. -> [RESAMPLES]"""
        if self.block > 1:
            return self.reduce(block_means(self.per_item, self.block, seed))
        rng, n = np.random.default_rng(seed), len(self.per_item)
        # Row by row: an index matrix of 2,000 x 10,000 would take 160 MB.
        means = np.array([self.per_item[rng.integers(0, n, n)].mean(axis=0) for _ in range(RESAMPLES)])
        return self.reduce(means)

    def influence(self) -> np.ndarray:
        """How much higher the headline is with each item than without it, [n]."""
        n = len(self.per_item)
        without = (self.per_item.sum(axis=0) - self.per_item) / max(n - 1, 1)
        return self.value - self.reduce(without)

    def interval(self, seed: int) -> tuple[float, float]:
        """95% percentile bootstrap interval of the headline (Efron and Tibshirani, 1993, chapter 13)."""
        low, high = np.percentile(self.bootstrap(seed), [2.5, 97.5])
        return float(low), float(high)

    def bound(self, confidence: float, seed: int) -> float:
        """What the headline is at least (at most, where lower is better) with this one-sided confidence."""
        worse = 1 - confidence if self.higher_is_better else confidence
        return float(np.quantile(self.bootstrap(seed), worse))


def block_means(values: np.ndarray, block: int, seed: int) -> np.ndarray:
    """Means of RESAMPLES samples of whole blocks, the last item followed by the first: the circular block
    bootstrap (Politis and Romano, 1992). values: [n] or [n, k], in order -> [RESAMPLES] or [RESAMPLES, k]"""
    n = len(values)
    block = min(block, n)
    sums = np.cumsum(np.concatenate([np.zeros_like(values[:1]), values, values[: block - 1]]), axis=0, dtype=np.float64)
    means = (sums[block:] - sums[:-block]) / block  # of the block that starts at each item
    starts = np.random.default_rng(seed).integers(0, n, (RESAMPLES, -(-n // block)))
    return np.stack([means[rows].mean(axis=0) for rows in starts])


def regression(targets: np.ndarray, predictions: np.ndarray) -> Score:
    """Headline R2. targets, predictions: [n]"""
    errors = predictions - targets
    variance = float(targets.var()) or 1.0
    return Score(
        headline="r2",
        higher_is_better=True,
        per_item=errors**2,
        reduce=lambda mse: 1 - mse / variance,
        metrics={
            "rmse": float(np.sqrt((errors**2).mean())),
            "mae": float(np.abs(errors).mean()),
            "median_absolute_error": float(np.median(np.abs(errors))),
        },
    )


def classification(targets: np.ndarray, probabilities: np.ndarray) -> Score:
    """Headline accuracy. targets: int [n], probabilities: [n, classes]"""
    predictions = probabilities.argmax(axis=1)
    chosen = np.clip(probabilities[np.arange(len(targets)), targets], 1e-7, 1)
    classes = range(probabilities.shape[1])
    metrics = {
        "log_loss": float(-np.log(chosen).mean()),
        "macro_f1": float(np.mean([_f1(targets, predictions, c) for c in classes])),
    }
    if len(classes) == 2:
        metrics["roc_auc"] = roc_auc(targets, probabilities[:, 1])
        metrics["brier"] = float(((probabilities[:, 1] - targets) ** 2).mean())
    return Score("accuracy", True, (predictions == targets).astype(np.float64), metrics)


def _f1(targets: np.ndarray, predictions: np.ndarray, label: int) -> float:
    hits = np.sum((targets == label) & (predictions == label))
    total = np.sum(targets == label) + np.sum(predictions == label)
    return float(2 * hits / total) if total else 1.0


def roc_auc(targets: np.ndarray, scores: np.ndarray) -> float:
    """The probability that a positive scores above a negative, ties counting half (Hanley and McNeil, 1982).

    targets: 0 or 1 [n], scores: [n]; NaN if there is one class only
    """
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]  # midranks, from 1
    positives = int(targets.sum())
    negatives = len(targets) - positives
    if not positives or not negatives:
        return float("nan")
    return float((ranks[targets == 1].sum() - positives * (positives + 1) / 2) / (positives * negatives))
