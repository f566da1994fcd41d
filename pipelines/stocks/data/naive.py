"""The naive forecast, which every other is measured against, and how a baseline walks over the origins."""

from collections.abc import Callable

import numpy as np

from pipelines.stocks.predict.features import HORIZONS, QUANTILES

LEVELS = np.array(QUANTILES)
DAYS = 504  # whose returns the naive forecast's quantiles are those of: two years
REFIT = 20  # days after which quantiles of past errors are looked up again

Baseline = Callable[[np.ndarray, np.ndarray], np.ndarray]  # log closes [n], origins [m] -> quantiles [m, h, q]
Series = dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]  # symbol -> log closes, origins, rows of the answer


def naive(logs: np.ndarray, at: np.ndarray) -> np.ndarray:
    """The last value, and around it the returns of the last two years with their own median taken out."""

    def of(errors: np.ndarray) -> np.ndarray:
        quantiles = np.quantile(errors[-DAYS:], LEVELS)
        return quantiles - np.median(errors[-DAYS:])

    return empirical(logs, at, lambda days: logs[days:] - logs[:-days], of)


def empirical(
    logs: np.ndarray,
    at: np.ndarray,
    errors: Callable[[int], np.ndarray],
    of: Callable[[np.ndarray], np.ndarray],
) -> np.ndarray:
    """Quantiles of the errors known at each origin, looked up again every few days.

    errors(days): of every forecast so far ahead, in order of time; the last one belongs to the last day of `logs`
    """
    every = REFIT
    found = np.empty((len(at), len(HORIZONS), len(LEVELS)))
    for column, days in enumerate(HORIZONS):
        all_errors = errors(days)
        later = len(logs) - 1 - at  # days after each origin, whose errors it can't know
        for start in range(0, len(at), every):
            found[start : start + every, column] = of(all_errors[: len(all_errors) - later[start]])
    return found


def walk(baseline: Baseline, series: Series, rows: int) -> np.ndarray:
    """The forecasts of all symbols. -> [rows, h, q]"""
    found = np.empty((rows, len(HORIZONS), len(LEVELS)))
    for logs, at, places in series.values():
        found[places] = baseline(logs, at)
    return found
