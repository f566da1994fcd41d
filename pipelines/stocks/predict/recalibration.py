"""Recalibrated intervals: adaptive conformal inference (Gibbs and Candes, 2021). NumPy only.

Each day an interval is widened if the latest known outcome missed it and narrowed otherwise, so that its long-run
coverage is nominal for any forecaster.
"""

from collections.abc import Sequence

import numpy as np


def outcomes(closes: np.ndarray, days: Sequence[int]) -> np.ndarray:
    """Log-returns from each day to each horizon; NaN if not known yet. [m] -> [m, h]"""
    logs = np.log(closes)
    later = np.pad(logs, (0, max(days)), constant_values=np.nan)
    return np.stack([later[ahead : ahead + len(logs)] - logs for ahead in days], axis=1)


def recalibrated(
    quantiles: np.ndarray, came: np.ndarray, days: Sequence[int], levels: Sequence[float], step: float
) -> np.ndarray:
    """Today's quantiles, each pair of levels around the median rescaled by past misses.

    quantiles: [n, k + 1, h, q], forecasts of k days and, last, of today; levels: q of them, symmetric around 0.5
    came: [n, k, h], their outcomes; NaN has no effect
    step: change of log width per day and unit of missed coverage

    A forecast `days` ahead has an effect `days` later, when its outcome is known. The median stays. -> [n, h, q]
    """
    half = len(levels) // 2
    missing = 2 * np.array(levels[:half])  # nominal fraction of outcomes outside
    middle = quantiles[..., half : half + 1]
    below, above = quantiles[..., :half] - middle, quantiles[..., :half:-1] - middle  # from the outer pair inwards
    error = came[..., None] - middle[:, :-1]
    with np.errstate(divide="ignore", invalid="ignore"):
        # Factor by which a pair must be widened to cover the outcome; 0 for an outcome at the median.
        needed = np.log(error / np.where(error > 0, above[:, :-1], below[:, :-1]))
    needed, known = (np.moveaxis(part, 0, 2) for part in (needed, ~np.isnan(error)))  # [k, h, n, pairs], [k, h, n, 1]

    wait, horizon = np.array(days), np.arange(len(days))
    today = len(needed)
    surplus = np.zeros(
        (today + max(days), *needed.shape[1:])
    )  # misses beyond the nominal fraction; none before the first
    width = np.zeros(needed.shape[1:])  # as a logarithm
    for day in range(today + 1):
        width += step * surplus[day - wait + max(days), horizon]
        if day < today:
            surplus[day + max(days)] = ((width < needed[day]) - missing) * known[day]
    factor = np.exp(np.moveaxis(width, 1, 0))
    middle, below, above = middle[:, -1], factor * below[:, -1], factor * above[:, -1]
    return np.sort(np.concatenate([middle + below, middle, (middle + above)[..., ::-1]], axis=-1), axis=-1)
