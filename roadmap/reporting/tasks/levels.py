"""The levels of a category; gaps count as one."""

import pandas as pd

MISSING = "(missing)"
MAX_LEVELS = 12  # drawn


def levels(values: pd.Series) -> pd.Series:
    return values.map(str, na_action="ignore").fillna(MISSING)


def by_frequency(counts: pd.Series) -> pd.Series:
    """Most frequent first, ties by name."""
    return counts.sort_index().sort_values(ascending=False, kind="stable")
