"""Classical forecasters on the same origins: each predicts the quantiles from the closes up to an origin.

A baseline is refitted every REFIT days of the test period, on all data so far; in between it is updated with each new
day at fixed parameters.
"""

import time
import warnings
from collections.abc import Callable

import numpy as np

from pipelines.stocks.data.naive import LEVELS, Baseline, Series, empirical, naive, walk
from pipelines.stocks.evaluate.forecasts import normal
from pipelines.stocks.predict.features import HORIZONS

REFIT = 126  # days
SEASON = 5
LAMBDA = 0.94  # of RiskMetrics (1996)


def drift(logs: np.ndarray, at: np.ndarray) -> np.ndarray:
    """The last value plus the mean past return, with the distribution of past returns."""
    return empirical(logs, at, lambda days: logs[days:] - logs[:-days], lambda errors: np.quantile(errors, LEVELS))


def seasonal(logs: np.ndarray, at: np.ndarray) -> np.ndarray:
    """The last value of the same weekday, with the distribution of its past errors."""
    forecast = np.stack([logs[at - _back(days)] - logs[at] for days in HORIZONS], axis=1)

    def errors(days: int) -> np.ndarray:
        back = _back(days)
        return logs[days + back :] - logs[: len(logs) - days - back]

    return forecast[..., None] + empirical(logs, at, errors, lambda known: np.quantile(known, LEVELS))


def _back(days: int) -> int:
    return -days % SEASON


def ewma(logs: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Filtered historical simulation: past returns divided by RiskMetrics' volatility of their day, times today's."""
    squares = np.diff(logs) ** 2
    variance = np.empty(len(logs))
    variance[:2] = squares[:20].mean()
    for t in range(2, len(logs)):
        variance[t] = LAMBDA * variance[t - 1] + (1 - LAMBDA) * squares[t - 1]
    volatility = np.sqrt(variance + 1e-12)
    multiples = empirical(
        logs,
        at,
        lambda days: (logs[days:] - logs[:-days]) / volatility[:-days],
        lambda known: np.quantile(known, LEVELS),
    )
    return multiples * volatility[at][:, None, None]


def ets(logs: np.ndarray, at: np.ndarray) -> np.ndarray:
    """ETS(A, N, N) of the log price: simple exponential smoothing (Hyndman et al., 2008, table 6.1)."""
    from statsmodels.tsa.exponential_smoothing.ets import ETSModel

    def fitted(known: np.ndarray, all_values: np.ndarray, places: np.ndarray) -> np.ndarray:
        fit = ETSModel(known, error="add").fit(disp=False, maxiter=50)
        alpha, level = float(fit.smoothing_level), float(fit.initial_level)
        levels = np.empty(len(all_values))
        for t, value in enumerate(all_values):
            levels[t] = level = level + alpha * (value - level)
        mean = np.repeat((levels[places] - all_values[places])[:, None], len(HORIZONS), axis=1)
        std = np.sqrt(fit.mse * (1 + (np.array(HORIZONS) - 1) * alpha**2))
        return normal(mean, np.broadcast_to(std, mean.shape))

    return _refitted(logs, at, fitted)


def arima(logs: np.ndarray, at: np.ndarray) -> np.ndarray:
    """ARIMA(1, 1, 1) with drift of the log price (Box and Jenkins, 1970)."""
    from statsmodels.tsa.arima.model import ARIMA

    def fitted(known: np.ndarray, all_values: np.ndarray, places: np.ndarray) -> np.ndarray:
        fit = ARIMA(
            100 * np.diff(known), order=(1, 0, 1), trend="c"
        ).fit()  # in percent: the optimizer works best near 1
        mean, ar, ma, variance = (float(value) for value in fit.params)
        returns = 100 * np.diff(all_values) - mean
        shocks = np.zeros(len(returns))
        for t in range(1, len(returns)):
            shocks[t] = returns[t] - ar * returns[t - 1] - ma * shocks[t - 1]
        steps = np.arange(max(HORIZONS))
        ahead = (ar * returns + ma * shocks)[places - 1, None] * ar**steps  # [m, steps], the mean of each coming return
        psi = np.concatenate([[1.0], (ar + ma) * ar ** steps[:-1]])  # response of later returns to a shock
        spread = np.cumsum(np.cumsum(psi) ** 2)  # of the sum of the next 1, 2, ... returns
        last = np.array(HORIZONS) - 1
        centre = np.cumsum(ahead, axis=1)[:, last] + mean * np.array(HORIZONS)
        return normal(centre, np.broadcast_to(np.sqrt(variance * spread[last]), centre.shape)) / 100

    return _refitted(logs, at, fitted)


def _refitted(
    logs: np.ndarray, at: np.ndarray, fitted: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
) -> np.ndarray:
    """fitted(series up to the fit, series up to its last origin, origins): [m, h, q]"""
    every = REFIT
    parts = []
    for start in range(0, len(at), every):
        places = at[start : start + every]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an optimizer that stops early still returns its best result
            parts.append(fitted(logs[: places[0] + 1], logs[: places[-1] + 1], places))
    return np.concatenate(parts)


BASELINES: dict[str, Baseline] = {
    "naive": naive,
    "drift": drift,
    "seasonal naive": seasonal,
    "ETS": ets,
    "ARIMA": arima,
    "EWMA volatility": ewma,
}


def timed(baseline: Baseline, series: Series, rows: int) -> tuple[np.ndarray, float]:
    """The forecasts [rows, h, q], and the seconds they took."""
    from threadpoolctl import threadpool_limits

    started = time.perf_counter()
    with threadpool_limits(1):  # tiny matrices: threads would only wait for each other
        found = walk(baseline, series, rows)
    return found, time.perf_counter() - started
