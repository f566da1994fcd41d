"""Compares the training and test rows, column by column."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from roadmap.reporting import html
from roadmap.reporting.bars import split_bars
from roadmap.reporting.figures import figure
from roadmap.reporting.formatting import count, join_with_and, number, percent
from roadmap.reporting.histograms import numbers_across, outlines, shown_range
from roadmap.reporting.page import Section
from roadmap.reporting.tasks.levels import MAX_LEVELS, by_frequency, levels

# Train and test differ in a column if the gap is both large enough and significant.
GAP, CHANCE = 0.05, 0.01
ENOUGH = 20  # fewest rows on either side

HOW = (
    f"A column differs if its gap is at least {percent(GAP)} and its p-value, corrected for all columns, is below "
    f"{percent(CHANCE)}. The gap is the largest distance between the two cumulative "
    "distributions (numbers) or the share of rows that would have to change level (text)."
)


@dataclass(frozen=True)
class SplitComparison:
    """`gap`: the largest difference of the two distribution functions (numbers), or the share of rows that would have
    to change level (categories). `p`: p-value. Both are NaN if there are too few rows."""

    column: str
    kind: str
    gap: float
    p: float

    @property
    def enough(self) -> bool:
        return not np.isnan(self.gap)

    def verdict(self, columns: int) -> str:
        if not self.enough:
            return "too few rows"
        return "differs" if self.gap >= GAP and self.p < CHANCE / columns else "alike"


def compare(column: str, train: pd.Series, test: pd.Series, kind: str) -> SplitComparison:
    """Kolmogorov-Smirnov test for numbers, chi-squared test for categories; gaps count as a level."""
    if min(len(train), len(test)) < ENOUGH:
        return SplitComparison(column, kind, float("nan"), float("nan"))
    if kind == "category":
        return SplitComparison(column, kind, *_levels_gap(train, test))
    gap, p = _levels_gap(train.isna(), test.isna())
    known, other = train.dropna(), test.dropna()
    if len(known) and len(other):
        result = stats.ks_2samp(known, other, method="asymp")
        gap, p = max(gap, float(result.statistic)), min(1.0, 2 * min(p, float(result.pvalue)))
    return SplitComparison(column, kind, gap, p)


def _levels_gap(train: pd.Series, test: pd.Series) -> tuple[float, float]:
    counts = _by_split(train, test)
    gap = float((counts / counts.sum()).diff(axis=1)["test"].abs().sum() / 2)
    # Levels too rare for the test's approximation are pooled.
    expected = counts.sum(axis=1) * min(len(train), len(test)) / (len(train) + len(test))
    rare = counts[expected < 5].sum()
    counts = counts[expected >= 5]
    if rare.sum():
        counts = pd.concat([counts, rare.to_frame().T])
    return gap, float(stats.chi2_contingency(counts.to_numpy()).pvalue) if len(counts) > 1 else 1.0


def _by_split(train: pd.Series, test: pd.Series) -> pd.DataFrame:
    """How often each level occurs in train and in test."""
    counts = {"train": levels(train).value_counts(), "test": levels(test).value_counts()}
    return pd.DataFrame(counts).fillna(0)


def section(train: pd.DataFrame, test: pd.DataFrame, kinds: dict[str, str]) -> Section:
    """`kinds`: number or category, of each column to compare."""
    compared = [compare(name, train[name], test[name], kind) for name, kind in kinds.items()]
    compared.sort(key=lambda one: (-np.nan_to_num(one.gap), one.column))
    rows = [
        {
            "Column": one.column,
            "Verdict": _verdict(one.verdict(len(compared))),
            "Gap": percent(one.gap),
            "By chance": "–" if np.isnan(one.p) else f"{one.p:.2g}" if one.p >= 0.001 else "under 0.001",
            "Train": _typical(train[one.column], one.kind),
            "Test": _typical(test[one.column], one.kind),
        }
        for one in compared
    ]
    parts = [html.table(rows, "Train and test, largest gap first"), html.paragraph(HOW)]
    drawings = [_overlay(one, train[one.column], test[one.column]) for one in compared[:3] if one.enough]
    if drawings:
        parts.append(html.grid(drawings))
    return Section("Train and test", _lead(compared, len(test)), parts)


def _lead(compared: list[SplitComparison], test_rows: int) -> str:
    if not any(one.enough for one in compared):
        return f"{count(test_rows, 'test row')} are too few to compare train and test."
    first = compared[0]
    differing = [one.column for one in compared if one.verdict(len(compared)) == "differs"]
    if differing:
        return (
            f"{len(differing)} of {len(compared)} columns "
            f"{'differs' if len(differing) == 1 else 'differ'} between train and test: "
            f"{join_with_and(differing[:5])}{' and more' if len(differing) > 5 else ''}. The largest gap is "
            f"{percent(first.gap)}, in {first.column}."
        )
    return (
        f"Train and test are alike in all {len(compared)} columns: the largest gap, in {first.column}, is "
        f"{percent(first.gap)}, which is small or not significant."
    )


def _verdict(verdict: str) -> html.Html:
    known = verdict in ("alike", "differs")
    return html.Html(f'<span class="verdict {verdict if known else "unknown"}">{verdict}</span>')


def _typical(values: pd.Series, kind: str) -> str:
    known = values.dropna()
    if known.empty:
        return "–"
    if kind == "number":
        return f"median {number(known.median())}"
    shares = by_frequency(levels(values).value_counts(normalize=True))
    return f"{shares.index[0]} {percent(shares.iloc[0])}"


def _overlay(one: SplitComparison, train: pd.Series, test: pd.Series) -> html.Html:
    caption = f"Gap {percent(one.gap)}."
    parts = {"train": train, "test": test}
    if one.kind == "category":
        counts = _by_split(train, test)
        counts = counts / counts.sum()
        counts = counts.loc[by_frequency(counts.sum(axis=1)).index[:MAX_LEVELS]]
        shares = {name: counts[name].to_numpy() for name in parts}
        return split_bars([str(level) for level in counts.index], shares, one.column, caption)
    edges = np.linspace(*shown_range(pd.concat([train, test]).dropna()), 31)
    shares = {name: np.histogram(values.dropna(), edges)[0] / max(1, len(values)) for name, values in parts.items()}
    drawing, axes = outlines(shares, edges, bottom=26, height=166)
    numbers_across(axes)
    alt = f"Histograms of {one.column} in train and test, overlaid"
    return figure(drawing, one.column, f"Share of rows per bin. {caption}", alt)
