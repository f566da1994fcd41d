"""Finds look-ahead leaks: values of a day that change if later days are changed.

The check is independent of how features and scalers are computed, so it covers later additions too.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from roadmap.io.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd

    Day = pd.Timestamp | np.datetime64


def scrambled(days: "pd.DataFrame", after: "Day", seed: int = 0) -> "pd.DataFrame":
    """The same days with different prices and volumes after `after`."""
    later = (days["date"] > after).to_numpy()
    factor = np.exp(np.random.default_rng(seed).normal(0, 0.2, len(days)))
    changed = days.copy()
    for name in ("open", "high", "low", "close", "volume"):
        if name in changed:
            changed[name] = changed[name].astype(float) * np.where(later, factor, 1.0)
    return changed


def check(known: Callable[["pd.DataFrame"], Mapping[str, np.ndarray]], days: "pd.DataFrame", day: "Day") -> None:
    """`known(days)` returns all values known at the close of `day`, by name.

    Raises:
        UsageError: a value depends on later days.
    """
    before, after = known(days), known(scrambled(days, day))
    leaking = [name for name in before if not np.array_equal(before[name], after[name], equal_nan=True)]
    if leaking:
        raise UsageError(
            f"pipelines/stocks: {', '.join(leaking)}: look-ahead leak: the value of {str(day)[:10]} depends on "
            "later prices"
        )
