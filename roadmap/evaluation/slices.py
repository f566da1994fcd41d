"""Scores by slice: by category, length or class, which a mean over all rows would hide.

A project's `slices(requests, targets)` defines them. The gate requires a significant gain on all rows, but no
significant loss in any slice: small slices can't prove the absence of a loss.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from roadmap.evaluation.paired import ALPHA, PairedTest, paired_test
from roadmap.evaluation.scores import Score
from roadmap.io.json import JsonObject

MIN_SLICE_ROWS = 30  # rows of a slice, or blocks of overlapping rows: smaller ones are reported but not tested
MAX_LEVELS = 10  # of a column that is sliced by level

Masks = Mapping[str, np.ndarray]  # name -> bool [n]


@dataclass(frozen=True)
class SliceComparison:
    """Both models on one slice."""

    name: str
    rows: int
    gain: PairedTest
    loss_p: float  # p-value of the loss

    def regressed(self, maximum_regression: float, parts: int) -> bool:
        """Whether it significantly loses more than the maximum, corrected for the number of slices."""
        return self.gain.value < -maximum_regression and self.loss_p <= ALPHA / parts


def compare_slices(candidate: Score, champion: Score, masks: Masks, seed: int) -> Iterator[SliceComparison]:
    """Compares the slices with enough rows."""
    for name, rows in masks.items():
        new, old = candidate.subset(rows), champion.subset(rows)
        count = len(new.per_item)
        if count >= MIN_SLICE_ROWS * new.block:
            yield SliceComparison(name, count, paired_test(new, old, seed), paired_test(old, new, seed).p(0))


def table(score: Score, masks: Masks) -> dict[str, dict[str, float]]:
    """Rows and headline metric of every non-empty slice."""
    return {
        name: {"rows": int(rows.sum()), score.headline: score.subset(rows).value}
        for name, rows in masks.items()
        if rows.any()
    }


def levels(requests: Sequence[JsonObject], *columns: str) -> dict[str, np.ndarray]:
    """A slice per level of these columns; if the table has none of them, of every column with few levels.

    requests: as JSON -> slice -> bool [n]
    """
    there = [name for name in columns if name in requests[0]]
    texts = [name for name, value in requests[0].items() if any(isinstance(row[name], str) for row in requests)]
    found: dict[str, np.ndarray] = {}
    for name in there or texts:
        values = np.array([str(row[name]) for row in requests])
        unique = np.unique(values)
        if there or len(unique) <= MAX_LEVELS:
            found |= {f"{name}={level}": values == level for level in unique}
    return found


def fairness(
    groups: Mapping[str, np.ndarray], positive: np.ndarray, truth: np.ndarray
) -> dict[str, dict[str, JsonObject]]:
    """Fairness metrics by group of people: {attribute: {"groups": ..., "gap": ...}}.

    The gap between the best and the worst group: of the accuracy, and of the positive rate
    (demographic parity; Barocas, Hardt and Narayanan, "Fairness and Machine Learning", chapter 3). It is reported
    but not gated: if base rates differ between the groups, as on the Titanic, correct predictions differ too.

    groups: attribute -> the group of each row [n]; positive, truth: bool [n]
    """
    found: dict[str, dict[str, JsonObject]] = {}
    for attribute, group in groups.items():
        rows = {}
        for level in np.unique(group):
            members = group == level
            rows[str(level)] = {
                "rows": int(members.sum()),
                "accuracy": float((positive == truth)[members].mean()),
                "positive_rate": float(positive[members].mean()),
                "true_rate": float(truth[members].mean()),
            }
        names = ("accuracy", "positive_rate", "true_rate")
        columns = {name: [row[name] for row in rows.values()] for name in names}
        found[attribute] = {"groups": rows, "gap": {name: max(each) - min(each) for name, each in columns.items()}}
    return found
