"""One-sided paired tests: is one model better than another on the same rows?

rows right or wrong   McNemar's exact test (1947); against a difference other than zero the score test of Tango (1998)
overlapping forecasts Diebold and Mariano (1995), with the correction of Harvey, Leybourne and Newbold (1997)
anything else         a paired bootstrap (Efron and Tibshirani, 1993, chapter 16)
"""

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from roadmap.evaluation.scores import Score

ALPHA = 0.05  # significance level


class PairedTest(Protocol):
    """The first model's gain over the second, in units of the headline metric; positive is better."""

    @property
    def value(self) -> float: ...

    @property
    def test(self) -> str:
        """Its name."""

    def p(self, least: float) -> float:
        """The p-value of the gain if the true gain is `least`."""

    def low(self, alpha: float = ALPHA) -> float:
        """The one-sided lower confidence bound of the gain, at level `alpha`."""


@dataclass(frozen=True)
class McNemar:
    won: int  # rows that only the first model gets right
    lost: int  # rows that only the second gets right
    rows: int
    test = "exact McNemar test"

    @property
    def value(self) -> float:
        return (self.won - self.lost) / self.rows

    def p(self, least: float) -> float:
        from scipy import stats

        if least == 0:
            apart = self.won + self.lost
            return float(stats.binomtest(self.won, apart, alternative="greater").pvalue) if apart else 1.0
        return float(stats.norm.sf(self._z(least)))

    def low(self, alpha: float = ALPHA) -> float:
        from scipy import optimize, stats

        wanted, ends = stats.norm.isf(alpha), (-1 + 1e-9, 1 - 1e-9)
        if self._z(ends[0]) <= wanted:
            return -1.0
        found = float(optimize.brentq(lambda difference: self._z(difference) - wanted, *ends))
        # At zero the exact test decides, and the bound must agree with it.
        return max(found, 0.0) if self.p(0) <= alpha else min(found, 0.0)

    def _z(self, difference: float) -> float:
        """Tango, "Equivalence test and confidence interval for the difference in proportions for the paired-sample
        design", Statistics in Medicine 17, 1998, with the continuity correction that McNemar's statistic has."""
        n, b, c, d = self.rows, self.won, self.lost, difference
        linear = -b - c + (2 * n - b + c) * d
        losing = (math.sqrt(max(linear**2 + 8 * n * c * d * (1 - d), 0.0)) - linear) / (4 * n)
        variance = n * (2 * losing + d * (1 - d))
        return (b - c - n * d - 1) / math.sqrt(max(variance, 1e-12))


@dataclass(frozen=True)
class DieboldMariano:
    value: float
    error: float  # standard error of the value
    freedom: float
    test = "Diebold-Mariano test"

    def p(self, least: float) -> float:
        from scipy import stats

        if self.error == 0:
            return float(self.value <= least)
        return float(stats.t.sf((self.value - least) / self.error, self.freedom))

    def low(self, alpha: float = ALPHA) -> float:
        from scipy import stats

        return float(self.value - stats.t.isf(alpha, self.freedom) * self.error)


@dataclass(frozen=True)
class Bootstrap:
    """The more conservative of the percentile interval and BCa (Efron, 1987). If a model loses rarely but much, the
    former alone has three times its nominal error rate; see benchmarks/simulations/simulate_gate.py."""

    value: float
    gains: np.ndarray  # of the bootstrap samples
    skewness: float  # of the items' gains
    rows: int
    test = "paired bootstrap"

    def p(self, least: float) -> float:
        from scipy import stats

        # Counts the sample itself (Davison and Hinkley, 1997, section 4.2). NaN is not a gain.
        is_mean = (1 + np.count_nonzero(~(self.gains > least))) / (1 + len(self.gains))
        if is_mean == 1:
            return 1.0
        bias, pull = self._corrections()
        z = stats.norm.ppf(is_mean) - bias
        return float(max(is_mean, stats.norm.cdf(z / (1 + pull * z) - bias)))

    def low(self, alpha: float = ALPHA) -> float:
        from scipy import stats

        bias, pull = self._corrections()
        z = bias + stats.norm.ppf(alpha)
        return float(np.quantile(self.gains, min(alpha, stats.norm.cdf(bias + z / (1 - pull * z)))))

    def _corrections(self) -> tuple[float, float]:
        from scipy import stats

        below = np.mean(self.gains < self.value) + np.mean(self.gains == self.value) / 2
        at = 0.5 / len(self.gains)
        return float(stats.norm.ppf(np.clip(below, at, 1 - at))), self.skewness / (6 * math.sqrt(self.rows))


def paired_test(first: Score, second: Score, seed: int) -> PairedTest:
    """The first model against the second, both scored on the same rows in the same order."""
    sign = 1 if first.higher_is_better else -1
    difference = sign * (first.per_item - second.per_item)
    if first.is_mean and first.block > 1:
        error = math.sqrt(long_run_variance(difference, first.block) / len(difference))
        # Degrees of freedom of this variance estimate (Priestley, 1981, section 6.2.3).
        freedom = max(len(difference) / (2 * first.block), 1)
        return DieboldMariano(float(difference.mean()), error, freedom)
    if first.is_mean and all(np.isin(score.per_item, (0, 1)).all() for score in (first, second)):
        return McNemar(int((difference > 0).sum()), int((difference < 0).sum()), len(difference))
    # The same seed draws the same rows for both, which makes the comparison paired.
    gains = sign * (first.bootstrap(seed) - second.bootstrap(seed))
    difference = sign * (first.influence() - second.influence())
    spread = float(difference.std())
    skewness = float(((difference - difference.mean()) ** 3).mean()) / spread**3 if spread > 0 else 0.0
    return Bootstrap(sign * (first.value - second.value), gains, skewness, len(difference))


def long_run_variance(values: np.ndarray, overlap: int) -> float:
    """Variance of the mean of `values`, [n] in order of time, times n; each overlaps with overlap - 1 later ones.

    With the small-sample correction of Harvey, Leybourne and Newbold (1997).
    """
    n, centred = len(values), values - values.mean()
    covariances = [float(centred[lag:] @ centred[: n - lag]) / n for lag in range(min(overlap, n))]
    variance = covariances[0] + 2 * sum(covariances[1:])
    if variance <= 0:  # possible with the rectangular window, not with Bartlett's (Newey and West, 1987)
        variance = covariances[0] + 2 * sum((1 - lag / overlap) * c for lag, c in enumerate(covariances) if lag)
    correction = max(n + 1 - 2 * overlap + overlap * (overlap - 1) / n, 0) / n
    return max(variance, 0.0) / correction if correction else math.inf


def holm(chances: list[float]) -> list[float]:
    """p-values adjusted for the number of tests (Holm, 1979).

    Own code, because statsmodels' multipletests takes 50 ms for two of them.
    """
    p = np.nan_to_num(chances, nan=1.0)
    order = np.argsort(p)
    adjusted = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1)
    return [float(value) for value in adjusted[np.argsort(order)]]
