"""Columns that give the target away: the target itself, or what is only known once it is."""

import numpy as np
import pandas as pd

from roadmap.io.json import JsonObject

NEARLY = 0.999  # of what a column that is the target would reach
FEWEST = 20  # rows with a value


def suspects(frame: pd.DataFrame, columns: dict[str, JsonObject], target: str, binary: bool) -> dict[str, str]:
    """Column -> how nearly it is the target. frame: training rows, the target as numbers"""
    found = {}
    for name, spec in columns.items():
        known = frame[frame[name].notna()]
        y = known[target].astype(float)
        if len(known) < FEWEST or y.nunique() < 2:
            continue
        if spec["kind"] == "number":
            value, reason = _ordered(known[name], y, binary)
        else:
            value, reason = _explained(known[name], y), "of the target's variance lies between its levels"
        if value >= NEARLY:
            found[name] = f"{value:.1%} {reason}"
    return found


def _ordered(x: pd.Series, y: pd.Series, binary: bool) -> tuple[float, str]:
    """Rank correlation, or of two classes how well a threshold tells them apart (2 |AUC - 1/2|)."""
    ranks = x.rank()
    if not binary:
        return abs(float(ranks.corr(y.rank()))) if x.nunique() > 1 else 0.0, "rank correlation with the target"
    ones = int(y.sum())
    auc = (float(ranks[y == 1].sum()) - ones * (ones + 1) / 2) / (ones * (len(y) - ones))
    return 2 * abs(auc - 0.5), "of the pairs of the two classes are told apart by it"


def _explained(x: pd.Series, y: pd.Series) -> float:
    """The share of the variance that the levels explain; 0 where levels are nearly as many as rows."""
    if 5 * x.nunique() > len(x):
        return 0.0
    rest = float(((y - y.groupby(x).transform("mean")) ** 2).sum())
    return 1 - rest / float(((y - y.mean()) ** 2).sum() or np.inf)
