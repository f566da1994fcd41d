"""Forecast origins as requests, and their outcomes."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipelines.stocks.data.naive import Series, naive, walk
from pipelines.stocks.data.origins import Origins, history, known, rolling_origins
from pipelines.stocks.predict import COUNT
from pipelines.stocks.predict.features import HORIZONS, QUANTILES
from roadmap.data.splits import SPLITS
from roadmap.project import Request

if TYPE_CHECKING:
    import pandas as pd

TARGET = np.dtype(
    [
        ("date", "datetime64[D]"),
        ("symbol", "U32"),
        ("last", "f8"),  # the close at the origin
        ("y", "f8", len(HORIZONS)),  # future log-returns
        ("unit", "f8", len(HORIZONS)),  # mean absolute log-return of the training period: MASE's denominator
        ("naive", "f8", (len(HORIZONS), len(QUANTILES))),
        ("truth", "f8", (len(HORIZONS), len(QUANTILES))),  # of the generator; NaN for real prices
    ]
)


def rows(folder: Path, split: str) -> tuple[list[Request], np.ndarray]:
    """Requests of a split's origins, and a TARGET for each, [n].

    Raises:
        UsageError: the split has no origin.
    """
    days, test, series = walked(folder, split)
    targets = np.zeros(len(test), TARGET)
    targets["date"], targets["symbol"], targets["last"] = test.date, test.symbol, test.closes[:, -1]
    targets["y"], targets["naive"] = test.y, walk(naive, series, len(test))
    train = days["train"]
    for symbol, (_, _, places) in series.items():
        logs = np.log(train["close"][train["symbol"] == symbol].to_numpy())
        for column, ahead in enumerate(HORIZONS):
            units = np.abs(logs[ahead:] - logs[:-ahead])
            targets["unit"][places, column] = units.mean() if len(units) else np.nan
    targets["unit"] = np.where(np.isfinite(targets["unit"]), targets["unit"], np.nanmean(targets["unit"], axis=0))
    targets["truth"] = _truth(days[split], test)
    requests = [
        {"symbol": str(symbol), "close": closes.tolist()}
        for symbol, closes in zip(test.symbol, known(days, test, COUNT), strict=True)
    ]
    return requests, targets


def walked(folder: Path, split: str) -> tuple[dict[str, "pd.DataFrame"], Origins, Series]:
    """The prepared days, the split's origins, and each symbol's (log closes, origins, rows)."""
    days = history(folder, SPLITS)
    test = rolling_origins(days, split)
    series = {}
    for symbol in np.unique(test.symbol):
        places = np.flatnonzero(test.symbol == symbol)
        closes = np.concatenate([part["close"][part["symbol"] == symbol].to_numpy() for part in days.values()])
        series[str(symbol)] = (np.log(closes), test.at[places], places)
    return days, test, series


def _truth(days: "pd.DataFrame", test: Origins) -> np.ndarray:
    """The generator's own quantiles, from the variance known at the close of each origin. -> [n, h, q]"""
    shape = (len(test), len(HORIZONS), len(QUANTILES))
    if "true_variance" not in days:
        return np.full(shape, np.nan)
    from pipelines.stocks.data.garch import Garch

    state = days.set_index(["date", "symbol"]).loc[
        list(zip(test.date.astype("datetime64[ns]"), test.symbol, strict=True))
    ]
    volatility, mean = (state[f"true_{name}"].to_numpy()[:, None] for name in ("volatility", "drift"))
    variance = state["true_variance"].to_numpy()
    levels = np.array(QUANTILES)
    return np.stack(
        [mean * days_ahead + volatility * Garch().quantiles(variance, days_ahead, levels) for days_ahead in HORIZONS],
        axis=1,
    )
