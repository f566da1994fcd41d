"""Derived columns, the same in training and serving. NumPy only."""

import numpy as np

from roadmap.inference.tabular.features import Columns

TITLES = {"Mr": "Mr", "Mrs": "Mrs", "Mme": "Mrs", "Miss": "Miss", "Mlle": "Miss", "Ms": "Miss", "Master": "Master"}


def title(name: str) -> str:
    """'Braund, Mr. Owen Harris' -> 'Mr'; officers, clergy and nobility are 'Other'."""
    return TITLES.get(name.partition(",")[2].partition(".")[0].strip(), "Other")


def derive(columns: Columns) -> Columns:
    """Adds the family's size where the passenger list's columns are there; other tables pass as they are."""
    if not all(name in columns and columns[name].dtype.kind == "f" for name in ("SibSp", "Parch")):
        return columns
    family = columns["SibSp"] + columns["Parch"] + 1
    alone = np.where(np.isnan(family), np.nan, (family == 1).astype(np.float64))
    large = np.where(np.isnan(family), np.nan, (family > 4).astype(np.float64))
    return {**columns, "family": family, "alone": alone, "large_family": large}
