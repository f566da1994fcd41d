"""Metrics of quantile forecasts. NumPy only; y: [n, h] log-returns, quantiles: [n, h, q] of them."""

import math

import numpy as np

from pipelines.stocks.data.naive import LEVELS
from pipelines.stocks.predict.features import HORIZONS, QUANTILES
from roadmap.evaluation.paired import long_run_variance

INTERVALS = {80: (LEVELS == 0.1, LEVELS == 0.9), 95: (LEVELS == 0.025, LEVELS == 0.975)}
MEDIAN = QUANTILES.index(0.5)


def pinball(y: np.ndarray, quantiles: np.ndarray) -> np.ndarray:
    """Pinball loss, mean over the levels, in percent of the price. -> [n, h]"""
    error = y[..., None] - quantiles
    return 100 * np.maximum(LEVELS * error, (LEVELS - 1) * error).mean(axis=-1)


def inside(y: np.ndarray, quantiles: np.ndarray, interval: int) -> np.ndarray:
    """1.0 if the outcome lies in the interval of this percentage. -> [n, h]"""
    low, high = (quantiles[..., end][..., 0] for end in INTERVALS[interval])
    return ((low <= y) & (y <= high)).astype(np.float64)


def probability(y: np.ndarray, quantiles: np.ndarray) -> np.ndarray:
    """The probability integral transform: the bin between two levels of the forecast distribution that has the
    outcome. -> int [n, h] from 0 to q"""
    return (y[..., None] > quantiles).sum(axis=-1)


def diebold_mariano(worse: np.ndarray, better: np.ndarray, days: int) -> tuple[float, float]:
    """Diebold and Mariano (1995) with the small-sample correction of Harvey, Leybourne and Newbold (1997).

    worse, better: [n], losses of two forecasts of the same outcomes in order of time, `days` ahead: their differences
    are correlated for days - 1 days.

    Returns the statistic, positive where `better` has the smaller loss, and its two-sided p.
    """
    from scipy import stats

    difference = worse - better
    variance = long_run_variance(difference, days)
    if variance <= 0:
        return 0.0, 1.0
    statistic = float(difference.mean()) / math.sqrt(variance / len(difference))
    return statistic, float(2 * stats.t.sf(abs(statistic), len(difference) - 1))


def by_date(values: np.ndarray, date: np.ndarray) -> np.ndarray:
    """Means over the symbols by date, in order of time. values: [n, ...] -> [dates, ...]"""
    _, place, counts = np.unique(date, return_inverse=True, return_counts=True)
    sums = np.zeros((len(counts), *values.shape[1:]))
    np.add.at(sums, place, values)
    return sums / counts.reshape(-1, *[1] * (values.ndim - 1))


def normal(mean: np.ndarray, std: np.ndarray) -> np.ndarray:
    """Quantiles of normal distributions. mean, std: [n, h] -> [n, h, q]"""
    from scipy import stats

    return mean[..., None] + std[..., None] * stats.norm.ppf(LEVELS)


def named(values: np.ndarray, name: str) -> dict[str, float]:
    """[h] -> {"pinball_1d": ..., "pinball_5d": ..., ...}"""
    return {f"{name}_{days}d": float(value) for days, value in zip(HORIZONS, values, strict=True)}
