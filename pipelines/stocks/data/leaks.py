"""Does what a model knows on a day change when the days after it are changed? Then it has seen the future.

The check needs to know nothing of how features or scalers are made, so it also finds what somebody adds later.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from roadmap.io.errors import UsageError


def scrambled(days: Any, after: Any, seed: int = 0) -> Any:
    """The same days with other prices and volumes after `after`."""
    later = (days["date"] > after).to_numpy()
    factor = np.exp(np.random.default_rng(seed).normal(0, 0.2, len(days)))
    changed = days.copy()
    for name in ("open", "high", "low", "close", "volume"):
        if name in changed:
            changed[name] = changed[name].astype(float) * np.where(later, factor, 1.0)
    return changed


def check(known: Callable[[Any], Mapping[str, np.ndarray]], days: Any, day: Any) -> None:
    """`known(days)` is everything that is known on the evening of `day`, by name.

    Raises:
        UsageError: some of it changes with the days that follow.
    """
    before, after = known(days), known(scrambled(days, day))
    leaking = [name for name in before if not np.array_equal(before[name], after[name], equal_nan=True)]
    if leaking:
        raise UsageError(
            f"pipelines/stocks: {', '.join(leaking)}: known on {str(day)[:10]}, but changes when later prices do; "
            "something looks into the future"
        )
