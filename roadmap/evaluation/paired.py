"""Is one model better than another on the same rows? One-sided, by the test that fits the task.

rows right or wrong   McNemar's exact test (1947); against a difference other than zero the score test of Tango (1998)
overlapping forecasts Diebold and Mariano (1995), as Harvey, Leybourne and Newbold (1997) correct it for few rows
anything else         a paired bootstrap (Efron and Tibshirani, 1993, chapter 16)
"""

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from roadmap.evaluation.scores import Score

ALPHA = 0.05  # the chance of each wrong decision


class PairedTest(Protocol):
    """How much better the first model is on the same rows, in units of the headline; positive is better."""

    @property
    def value(self) -> float: ...

    @property
    def test(self) -> str:
        """Its name."""

    def p(self, least: float) -> float:
        """The chance of at least such a gain where the true one is `least`."""

    def low(self, alpha: float = ALPHA) -> float:
        """The one-sided lower bound of the gain, wrong with chance `alpha`."""


@dataclass(frozen=True)
class McNemar:
    won: int  # rows that only the first model has right
    lost: int  # rows that only the second has right
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
        # At zero the exact test has the word; the bound shall not contradict it.
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
    """The more careful of the percentile interval and BCa (Efron, 1987): where a model loses seldom but much, the
    former alone would let a worse one pass three times as often as it says; benchmarks/simulate_gate.py shows it."""

    value: float
    gains: np.ndarray  # of the resamples
    skewness: float  # of the items' gains
    rows: int
    test = "paired bootstrap"

    def p(self, least: float) -> float:
        from scipy import stats

        # The sample itself counts as one (Davison and Hinkley, 1997, section 4.2). NaN is no gain.
        plain = (1 + np.count_nonzero(~(self.gains > least))) / (1 + len(self.gains))
        if plain == 1:
            return 1.0
        bias, pull = self._corrections()
        z = stats.norm.ppf(plain) - bias
        return float(max(plain, stats.norm.cdf(z / (1 + pull * z) - bias)))

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
    """The first model against the second, both judged on the same rows in the same order."""
    sign = 1 if first.higher_is_better else -1
    difference = sign * (first.per_item - second.per_item)
    if first.plain and first.block > 1:
        error = math.sqrt(long_run_variance(difference, first.block) / len(difference))
        # The degrees of freedom of such an estimate of the variance (Priestley, 1981, section 6.2.3).
        freedom = max(len(difference) / (2 * first.block), 1)
        return DieboldMariano(float(difference.mean()), error, freedom)
    if first.plain and all(np.isin(score.per_item, (0, 1)).all() for score in (first, second)):
        return McNemar(int((difference > 0).sum()), int((difference < 0).sum()), len(difference))
    # The same seed draws the same rows for both: that is what makes the comparison paired.
    gains = sign * (first.resampled(seed) - second.resampled(seed))
    low, high = first.reduce(np.array([0.0, 1.0]))
    if high < low:  # R2 rises where squared errors fall
        difference = -difference
    spread = float(difference.std())
    skewness = float(((difference - difference.mean()) ** 3).mean()) / spread**3 if spread > 0 else 0.0
    return Bootstrap(sign * (first.value - second.value), gains, skewness, len(difference))


def long_run_variance(values: np.ndarray, overlap: int) -> float:
    """Of the mean of `values` in order of time, times their number, where each overlaps with overlap - 1 later ones.

    With the small-sample correction of Harvey, Leybourne and Newbold (1997).
    """
    n, centred = len(values), values - values.mean()
    covariances = [float(centred[lag:] @ centred[: n - lag]) / n for lag in range(min(overlap, n))]
    variance = covariances[0] + 2 * sum(covariances[1:])
    if variance <= 0:  # the rectangular window can end there; Bartlett's (Newey and West, 1987) can't
        variance = covariances[0] + 2 * sum((1 - lag / overlap) * c for lag, c in enumerate(covariances) if lag)
    correction = max(n + 1 - 2 * overlap + overlap * (overlap - 1) / n, 0) / n
    return max(variance, 0.0) / correction if correction else math.inf


def holm(chances: list[float]) -> list[float]:
    """p values, each adjusted so that among several one wrong decision is as rare as ALPHA says (Holm, 1979).

    By hand, since statsmodels' multipletests takes 50 ms for two of them.
    """
    p = np.nan_to_num(chances, nan=1.0)
    order = np.argsort(p)
    adjusted = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1)
    return [float(value) for value in adjusted[np.argsort(order)]]
