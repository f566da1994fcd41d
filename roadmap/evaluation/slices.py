"""Parts of the rows that a mean over all of them would hide: by category, length or class.

A project's `slices(requests, targets)` names them. The whole must be shown to be better; a part must not be shown to be
harmed. Few rows can't prove that nothing was lost, and a gate that asked them to would let nobody pass.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from roadmap.evaluation.paired import ALPHA, PairedTest, paired_test
from roadmap.evaluation.scores import Score

MIN_SLICE_ROWS = 30  # rows of a slice, or blocks of rows that overlap: fewer are reported and not judged
MAX_LEVELS = 10  # of a column whose levels make slices

Masks = Mapping[str, np.ndarray]  # name -> bool [n]


@dataclass(frozen=True)
class SliceComparison:
    """A slice in which both models were judged."""

    name: str
    rows: int
    gain: PairedTest
    loss_p: float  # the chance of such a loss where there is none

    def harmed(self, maximum_regression: float, parts: int) -> bool:
        """Whether it loses more than the maximum, and not by chance, so many parts having been looked at."""
        return self.gain.value < -maximum_regression and self.loss_p <= ALPHA / parts


def compare_slices(candidate: Score, champion: Score, masks: Masks, seed: int) -> Iterator[SliceComparison]:
    """The slices that have rows enough."""
    for name, rows in masks.items():
        mine, theirs = candidate.of(rows), champion.of(rows)
        count = len(mine.per_item)
        if count >= MIN_SLICE_ROWS * mine.block:
            yield SliceComparison(name, count, paired_test(mine, theirs, seed), paired_test(theirs, mine, seed).p(0))


def table(score: Score, masks: Masks) -> dict[str, dict[str, float]]:
    """Rows and headline of every slice that has any rows."""
    return {
        name: {"rows": int(rows.sum()), score.headline: score.of(rows).value}
        for name, rows in masks.items()
        if rows.any()
    }


def levels(requests: Sequence[dict[str, Any]], *columns: str) -> dict[str, np.ndarray]:
    """A slice per level of these columns of a table; where it has none of them, of every column of few texts."""
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
) -> dict[str, dict[str, dict[str, Any]]]:
    """How differently groups of people are treated: {attribute: {"groups": ..., "gap": ...}}.

    The gap is between the best and the worst group: of the accuracy, and of the share that is answered `positive`
    (demographic parity; Barocas, Hardt and Narayanan, "Fairness and Machine Learning", chapter 3). It is reported and
    not judged: where `truth` differs between the groups, as on the Titanic, a true answer does too.

    groups: attribute -> the group of each row [n]; positive, truth: bool [n]
    """
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for attribute, group in groups.items():
        rows = {}
        for level in np.unique(group):
            of = group == level
            rows[str(level)] = {
                "rows": int(of.sum()),
                "accuracy": float((positive == truth)[of].mean()),
                "positive_rate": float(positive[of].mean()),
                "true_rate": float(truth[of].mean()),
            }
        names = ("accuracy", "positive_rate", "true_rate")
        columns = {name: [row[name] for row in rows.values()] for name in names}
        found[attribute] = {"groups": rows, "gap": {name: max(each) - min(each) for name, each in columns.items()}}
    return found
