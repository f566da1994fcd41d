"""The levels of a category; a gap counts as one."""

import pandas as pd

MISSING = "(missing)"
MAX_LEVELS = 12  # drawn


def levels(values: pd.Series) -> pd.Series:
    return values.map(str, na_action="ignore").fillna(MISSING)


def by_frequency(counts: pd.Series) -> pd.Series:
    """The most frequent first, equals by name."""
    return counts.sort_index().sort_values(ascending=False, kind="stable")
