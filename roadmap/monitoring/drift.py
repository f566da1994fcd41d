"""Compares a window with the reference: which columns differ significantly, and by enough to matter.

Numbers use the Kolmogorov-Smirnov test on the reference's intervals, categories and missing values the chi-squared
test. P-values are corrected for multiple tests (Holm, 1979). With many rows irrelevant differences are significant
too, so a minimum gap is required as well.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

from roadmap.evaluation.paired import holm
from roadmap.monitoring.reference import OTHER, Counts, Levels, Numbers, Reference
from roadmap.monitoring.reference.columns import OUTPUT_PREFIX, Columns

Kind = Literal["values", "missing"]


@dataclass(frozen=True)
class ColumnDrift:
    """`gap`: the largest distance of the two distribution functions (numbers), or the fraction of rows that would have
    to change (categories, missing values). `p`: p-value, corrected for all findings."""

    column: str
    kind: Kind
    gap: float
    p: float
    drifted: bool
    unseen: float  # the window's fraction of new or rare levels; 0 for numbers

    @property
    def is_output(self) -> bool:
        return self.column.startswith(OUTPUT_PREFIX)

    @property
    def sentence(self) -> str:
        what = "missing values" if self.kind == "missing" else "values"
        return f"{self.column}: {what} differ by {self.gap:.0%} (p = {self.p:.2g})"


def compare(reference: Reference, window: Columns, alpha: float, gap: float) -> list[ColumnDrift]:
    """
    Args:
        alpha: false-alarm rate of a window without drift, all columns together.
        gap: smallest gap that counts as drift, however significant.
    """
    counted = reference.count(window)
    tests = [test for name, before in reference.columns.items() for test in column_tests(name, before, counted[name])]
    corrected = holm([p for _, _, _, p in tests])
    found = [
        ColumnDrift(name, kind, distance, p, p < alpha and distance >= gap, unseen(counted[name]))
        for (name, kind, distance, _), p in zip(tests, corrected, strict=True)
    ]
    return sorted(found, key=lambda one: (not one.drifted, one.p, -one.gap))


def column_tests(name: str, before: Counts, after: Counts) -> Iterator[tuple[str, Kind, float, float]]:
    if before.known and after.known:
        gap, p = (
            kolmogorov_smirnov(before, after)
            if isinstance(before, Numbers)
            else chi_squared(before.counts, after.counts)
        )
        yield name, "values", gap, p
    if before.missing or after.missing:
        yield name, "missing", *chi_squared([before.missing, before.known], [after.missing, after.known])


def kolmogorov_smirnov(before: Counts, after: Counts) -> tuple[float, float]:
    """On intervals the statistic is at most that on values, so the p-value is conservative."""
    one, other = (np.cumsum(counts.counts) / counts.known for counts in (before, after))
    gap = float(np.abs(one - other).max())
    rows = before.known * after.known / (before.known + after.known)
    return gap, float(stats.kstwobign.sf(gap * np.sqrt(rows)))


def chi_squared(before: list[int], after: list[int]) -> tuple[float, float]:
    counts = np.array([before, after], float)
    shares = counts / counts.sum(axis=1, keepdims=True)
    gap = float(np.abs(shares[0] - shares[1]).sum() / 2)
    # Levels too rare for the test's approximation are pooled.
    expected = counts.sum(axis=0) * counts.sum(axis=1).min() / counts.sum()
    rare = counts[:, expected < 5].sum(axis=1, keepdims=True)
    counts = np.hstack([counts[:, expected >= 5], rare])
    counts = counts[:, counts.sum(axis=0) > 0]
    return gap, float(stats.chi2_contingency(counts).pvalue) if counts.shape[1] > 1 else 1.0


def unseen(after: Counts) -> float:
    if not isinstance(after, Levels) or not after.known:
        return 0.0
    return after.counts[after.levels.index(OTHER)] / after.known
