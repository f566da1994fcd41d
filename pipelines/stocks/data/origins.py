"""Forecast origins: the days from whose evening a forecast is made, what is known then, and what came of it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.stocks.predict.features import HISTORY, HORIZONS, window_features, windows
from roadmap.io.errors import UsageError
from roadmap.data import splits

EMBARGO = max(HORIZONS)  # the last days of a split: their outcome lies in the next one


@dataclass(frozen=True)
class Origins:
    """Rows in order of date, then symbol.

    date, ends   [n], the origin's day, and the day on which the outcome of its longest horizon is known
    symbol       [n]
    closes       [n, HISTORY], up to the origin
    x, scale     what the network sees of them
    y            float32 [n, len(HORIZONS)], log-returns to come
    at           [n], the origin's place in its symbol's series
    """

    date: np.ndarray
    ends: np.ndarray
    symbol: np.ndarray
    closes: np.ndarray
    x: np.ndarray
    scale: np.ndarray
    y: np.ndarray
    at: np.ndarray

    def __len__(self) -> int:
        return len(self.date)


def history(folder: Path, names: tuple[str, ...]) -> dict[str, Any]:
    """The prepared days of these splits, one frame each."""
    return {name: splits.read(folder, name) for name in names}


def rolling_origins(frames: dict[str, Any], split: str) -> Origins:
    """Origins in `split` whose outcomes lie in it too. What is known may reach back into the splits before."""
    import pandas as pd

    first, last = (getattr(frames[split]["date"], end)() for end in ("min", "max"))
    days = pd.concat(frames.values(), ignore_index=True)
    days = days[days["date"] <= last]
    parts = []
    for symbol, of in days.groupby("symbol", sort=True):
        dates, closes = of["date"].to_numpy("datetime64[D]"), of["close"].to_numpy(np.float64)
        at = np.arange(HISTORY - 1, len(of) - EMBARGO)
        at = at[dates[at] >= np.datetime64(first, "D")]
        if not len(at):
            continue
        known = windows(closes)[at - HISTORY + 1]
        x, scale = window_features(known)
        logs = np.log(closes)
        y = np.stack([logs[at + ahead] - logs[at] for ahead in HORIZONS], axis=1).astype(np.float32)
        parts.append((dates[at], dates[at + EMBARGO], np.full(len(at), symbol), known, x, scale, y, at))
    if not parts:
        raise UsageError(f"{split}: no symbol has {HISTORY} days before and {EMBARGO} days after any day of it")
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    order = np.argsort(columns[0], kind="stable")
    return Origins(*(column[order] for column in columns))


def known(frames: dict[str, Any], rows: Origins, most: int) -> list[np.ndarray]:
    """The closes up to each origin, as many as there are but at most so many. frames: those that `rows` are of"""
    import pandas as pd

    days = pd.concat(frames.values(), ignore_index=True)
    closes = {symbol: of["close"].to_numpy(np.float64) for symbol, of in days.groupby("symbol")}
    return [closes[symbol][max(0, at + 1 - most) : at + 1] for symbol, at in zip(rows.symbol, rows.at, strict=True)]
