"""The naive forecast, the reference of all others, and the walk-forward evaluation of baselines."""

from collections.abc import Callable

import numpy as np

from pipelines.stocks.predict.features import HORIZONS, QUANTILES

LEVELS = np.array(QUANTILES)
DAYS = 504  # of returns for the naive forecast's quantiles: two years
REFIT = 20  # days between updates of the quantiles of past errors

Baseline = Callable[[np.ndarray, np.ndarray], np.ndarray]  # log closes [n], origins [m] -> quantiles [m, h, q]
Series = dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]  # symbol -> log closes, origins, rows of the result


def naive(logs: np.ndarray, at: np.ndarray) -> np.ndarray:
    """The last value plus the median-centred returns of the last two years. As a Baseline."""

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
    """Quantiles of the errors known at each origin, updated every few days. -> [m, h, q]

    logs: log closes [n]; at: origins, int [m]
    errors(days): of every forecast at this horizon, in order of time; the last one is of the last day of `logs`
    of(errors): their quantiles, [q]
    """
    every = REFIT
    found = np.empty((len(at), len(HORIZONS), len(LEVELS)))
    for column, days in enumerate(HORIZONS):
        all_errors = errors(days)
        later = len(logs) - 1 - at  # days after each origin, whose errors are unknown
        for start in range(0, len(at), every):
            found[start : start + every, column] = of(all_errors[: len(all_errors) - later[start]])
    return found


def walk(baseline: Baseline, series: Series, rows: int) -> np.ndarray:
    """The forecasts of all symbols. -> [rows, h, q]"""
    found = np.empty((rows, len(HORIZONS), len(LEVELS)))
    for logs, at, places in series.values():
        found[places] = baseline(logs, at)
    return found
