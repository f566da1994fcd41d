"""Daily prices with known conditional quantiles: GARCH(1,1) volatility (Bollerslev, 1986), fat-tailed shocks.

A process of long-run variance 1, which every symbol follows with its own volatility:

    h[t + 1] = omega + alpha e[t]^2 + beta h[t],    e[t] = sqrt(h[t]) shock[t],    omega = 1 - alpha - beta
    log-return[t] = drift + volatility e[t]
"""

from dataclasses import dataclass

import numpy as np

PATHS = 80_000  # per simulation
GRID = 12  # initial variances of paths; quantiles in between are interpolated


@dataclass(frozen=True)
class Garch:
    alpha: float = 0.08
    beta: float = 0.90
    df: float = 6.0  # degrees of freedom of Student's t

    @property
    def omega(self) -> float:
        return 1 - self.alpha - self.beta

    def shocks(self, rng: np.random.Generator, size: tuple[int, ...]) -> np.ndarray:
        """Student's t, scaled to variance 1. -> `size`"""
        return rng.standard_t(self.df, size) * np.sqrt((self.df - 2) / self.df)

    def path(self, days: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """-> e [days], and h [days], the variance of the next day, known at the close"""
        shocks = self.shocks(rng, (days + 500,))  # 500 days of burn-in
        e, h = np.empty(len(shocks)), np.empty(len(shocks))
        variance = 1.0
        for t, shock in enumerate(shocks):
            e[t] = np.sqrt(variance) * shock
            h[t] = variance = self.omega + self.alpha * e[t] ** 2 + self.beta * variance
        return e[500:], h[500:]

    def quantiles(self, h: np.ndarray, days: int, levels: np.ndarray, seed: int = 0) -> np.ndarray:
        """Quantiles of the sum of the next `days` of e, given the next day's variance. h: [n] -> [n, len(levels)]"""
        if days == 1:
            from scipy import stats

            return np.sqrt(h)[:, None] * stats.t.ppf(levels, self.df) * np.sqrt((self.df - 2) / self.df)
        grid = np.geomspace(h.min(), h.max(), GRID) if np.ptp(h) > 0 else h[:1]
        table = self.simulated(grid, days, levels, seed)
        return np.stack([np.interp(np.sqrt(h), np.sqrt(grid), column) for column in table.T], axis=1)

    def simulated(self, h: np.ndarray, days: int, levels: np.ndarray, seed: int) -> np.ndarray:
        """The same by simulation, with common random numbers and antithetic paths for every h. -> [n, len(levels)]"""
        half = self.shocks(np.random.default_rng(seed), (days, PATHS // 2))
        shocks = np.concatenate([half, -half], axis=1)
        found = np.empty((len(h), len(levels)))
        for row, start in enumerate(h):
            variance, total = np.full(PATHS, float(start)), np.zeros(PATHS)
            for shock in shocks:
                e = np.sqrt(variance) * shock
                total += e
                variance = self.omega + self.alpha * e**2 + self.beta * variance
            found[row] = np.quantile(total, levels)
        return found


@dataclass(frozen=True)
class Series:
    """One symbol's days. `variance` is h after each day; a day's log-return is drift + volatility e."""

    symbol: str
    dates: np.ndarray  # datetime64[D] [n]
    columns: dict[str, np.ndarray]  # open, high, low, close, volume: [n] each
    variance: np.ndarray  # [n]
    volatility: float  # daily, long-run
    drift: float


def generate(
    symbols: int, days: int, seed: int, *, model: Garch | None = None, drift: float = 0.0002, start: str = "2016-01-04"
) -> list[Series]:
    model = model or Garch()
    dates = np.busday_offset(np.datetime64(start), np.arange(days), roll="forward")
    return [
        _series(f"SYM{number:02d}", dates, model, drift, np.random.default_rng([seed, number]))
        for number in range(symbols)
    ]


def _series(symbol: str, dates: np.ndarray, model: Garch, drift: float, rng: np.random.Generator) -> Series:
    days = len(dates)
    volatility = float(rng.uniform(0.008, 0.022))
    e, h = model.path(days, rng)
    before = np.sqrt(np.concatenate([[1.0], h[:-1]])) * volatility  # each day's own standard deviation
    logs = np.log(rng.uniform(20, 200)) + np.cumsum(drift + volatility * e)
    opened = np.concatenate([[logs[0]], logs[:-1]]) + 0.3 * before * rng.normal(size=days)
    reach = np.abs(rng.normal(size=(2, days))) * 0.5 * before
    logarithms = {
        "open": opened,
        "high": np.maximum(opened, logs) + reach[0],
        "low": np.minimum(opened, logs) - reach[1],
        "close": logs,
    }
    columns = {name: np.exp(values).round(4) for name, values in logarithms.items()}
    columns["volume"] = np.round(1e6 * np.exp(0.4 * rng.normal(size=days)) * before / volatility)
    return Series(symbol, dates, columns, h, volatility, drift)
