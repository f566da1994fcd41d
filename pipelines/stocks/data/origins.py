"""Forecast origins: the days at whose close a forecast is made, its inputs, and its outcomes."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipelines.stocks.predict.features import HISTORY, HORIZONS, window_features, windows
from roadmap.data import splits
from roadmap.io.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd

EMBARGO = max(HORIZONS)  # last days of a split, whose outcomes lie in the next


@dataclass(frozen=True)
class Origins:
    """Rows in order of date, then symbol.

    date, ends   [n], the day of the origin, and of the outcome at its longest horizon
    symbol       [n]
    closes       [n, HISTORY], up to the origin
    x, scale     inputs of the network
    y            float32 [n, len(HORIZONS)], future log-returns
    at           [n], the origin's index in its symbol's series
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


def history(folder: Path, names: tuple[str, ...]) -> dict[str, "pd.DataFrame"]:
    """The prepared days of these splits, one frame each."""
    return {name: splits.read_table(folder, name) for name in names}


def rolling_origins(frames: dict[str, "pd.DataFrame"], split: str) -> Origins:
    """Origins in `split` whose outcomes lie in it too. Histories may begin in earlier splits.

    Raises:
        UsageError: there are none.
    """
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
        raise UsageError(
            f"{split}: found no symbol with {HISTORY} days before and {EMBARGO} days after a day of the split"
        )
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    order = np.argsort(columns[0], kind="stable")
    return Origins(*(column[order] for column in columns))


def known(frames: dict[str, "pd.DataFrame"], rows: Origins, most: int) -> list[np.ndarray]:
    """The closes up to each origin, at most `most`: [1 to most] each. frames: the series of `rows`"""
    import pandas as pd

    days = pd.concat(frames.values(), ignore_index=True)
    closes = {symbol: of["close"].to_numpy(np.float64) for symbol, of in days.groupby("symbol")}
    return [closes[symbol][max(0, at + 1 - most) : at + 1] for symbol, at in zip(rows.symbol, rows.at, strict=True)]
