"""The distribution of each column, and the target along it."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator

from roadmap.reporting import html
from roadmap.reporting.bars import beside, lines
from roadmap.reporting.figures import chart, figure, panel, shorten
from roadmap.reporting.formatting import count, number, tick
from roadmap.reporting.histograms import FEW_VALUES, few_values, histogram, numbers_across, shown_range
from roadmap.reporting.page import Section
from roadmap.reporting.style import BLUE, FONT, INK, MUTED, WIDTH
from roadmap.reporting.tasks.dataset import TableDataset
from roadmap.reporting.tasks.levels import MAX_LEVELS, MISSING, levels

MAX_FIGURES = 20  # columns drawn; the rest are in the tables
MAX_POINTS = 800  # of a scatter plot
POINTS = "#3c96d0"  # they are a bitmap, whose colour must work in both schemes
ENOUGH = 20  # smallest group to mention

DOTS: dict[str, Any] = {"fmt": "o", "color": INK, "markersize": 4.5, "elinewidth": 1.2}
ALL_ROWS: dict[str, Any] = {"color": MUTED, "linestyle": "--", "linewidth": 1}


def section(table: TableDataset, ranked: list[str]) -> Section:
    """`ranked`: columns by association with the target, strongest first."""
    drawings, gaps = [], []
    for name in table.kinds:
        if name in ranked[:MAX_FIGURES]:
            groups = along(table, name)
            draw = _number if table.kinds[name] == "number" else _category
            drawings.append(draw(table, name, groups))
            means = _of_size(groups)["mean"]
            gaps.append((means.max() - means.min(), name, _extremes(table, groups)))
    _, widest, extremes = max(gaps)
    lead = f"{_outcome(table)} changes most along {widest}: {extremes}."
    if len(drawings) < len(table.kinds):
        lead += f" The figures show the {len(drawings)} of {len(table.kinds)} columns most associated with the target."
    scheme = f"Training rows. Bars count rows; dots are the {table.outcome} with its 95% interval, dashed for all."
    return Section("Distributions", lead, [html.paragraph(scheme), html.grid(drawings)])


def along(table: TableDataset, name: str) -> pd.DataFrame:
    """The target in each level or bin of a column -> label, at (of a number: its median), rows, mean, low, high."""
    keys, labels, at = (_levels if table.kinds[name] == "category" else _bins)(table.train[name])
    outcomes = table.y.groupby(keys, observed=False)
    mean, rows = outcomes.mean(), outcomes.size()
    if table.classes:  # Wilson's interval, valid near 0 and 1
        spread = 1.96**2 / rows
        centre = (mean + spread / 2) / (1 + spread)
        half = np.sqrt(mean * (1 - mean) * spread + spread**2 / 4) / (1 + spread)
    else:
        centre, half = mean, 1.96 * outcomes.std().fillna(0) / np.sqrt(rows)
    numbers = {"rows": rows, "mean": mean, "low": centre - half, "high": centre + half}
    groups = {"label": labels, "at": at, **{key: value.to_numpy() for key, value in numbers.items()}}
    return pd.DataFrame(groups).dropna().reset_index(drop=True)


def _levels(values: pd.Series) -> tuple[pd.Series, list[str], list[float]]:
    """Most frequent first, gaps and rare levels last."""
    text = levels(values)
    counts = text.value_counts()
    common = sorted(counts.index, key=lambda level: (level == MISSING, -counts[level], level))
    if len(common) > MAX_LEVELS:
        rest = f"({len(common) - MAX_LEVELS + 1} others)"
        common = [*common[: MAX_LEVELS - 1], rest]
        text = text.where(text.isin(common), rest)
    keys = pd.Series(pd.Categorical(text, categories=common), index=values.index)
    return keys, common, [float(line) for line in range(len(common))]


def _bins(values: pd.Series) -> tuple[pd.Series, list[str], list[float]]:
    """Single values if there are few, else deciles."""
    if values.nunique() <= FEW_VALUES:
        found = sorted(values.dropna().unique())
        keys = pd.Series(pd.Categorical(values, categories=found), index=values.index)
        return keys, [number(value) for value in found], found
    keys = pd.qcut(values, 10, duplicates="drop")
    bins = values.groupby(keys, observed=False)
    labels = [
        f"{number(low)} to {number(high)}" if low < high else number(low)
        for low, high in zip(bins.min(), bins.max(), strict=True)
    ]
    return keys, labels, list(bins.median())


def _of_size(groups: pd.DataFrame) -> pd.DataFrame:
    """Groups large enough to mention."""
    return groups[groups["rows"] >= min(ENOUGH, groups["rows"].max())]


def _extremes(table: TableDataset, groups: pd.DataFrame) -> str:
    """'73% for female, 21% for male'"""
    usual = _of_size(groups)
    ends = [usual["mean"].argmax(), usual["mean"].argmin()][: len(usual)]
    return ", ".join(f"{table.value(usual['mean'].iloc[end])} for {usual['label'].iloc[end]}" for end in ends)


def _caption(table: TableDataset, groups: pd.DataFrame) -> str:
    return f"{_outcome(table)}: {_extremes(table, groups)}."


def _outcome(table: TableDataset) -> str:
    """Capitalised, for the start of a sentence."""
    return table.outcome[:1].upper() + table.outcome[1:]


def _ends(groups: pd.DataFrame) -> np.ndarray:
    """Distances of the interval's ends from the mean."""
    return np.stack([groups["mean"] - groups["low"], groups["high"] - groups["mean"]]).clip(min=0)


def _number(table: TableDataset, name: str, groups: pd.DataFrame) -> html.Html:
    """Histogram above; below, the target along the same axis."""
    values = table.train[name]
    known = values.dropna()
    low, high = shown_range(known)
    few = few_values(known)
    caption = _caption(table, groups)
    drawing = chart(300)
    below = panel(drawing, 46, 24, 302, 140)
    above = panel(drawing, 46, 190, 302, 104, sharex=below)
    histogram(above, known, low, high)
    above.tick_params(labelbottom=False)
    if len(known) < len(values):
        caption += f" {count(len(values) - len(known), 'value')} missing."
    if table.classes is None:
        cloud = pd.DataFrame({"x": values, "y": table.y}).dropna()
        if len(cloud) > MAX_POINTS:
            caption += f" {MAX_POINTS} of {len(cloud):,} rows as points."
            cloud = cloud.sample(MAX_POINTS, random_state=0)
        below.scatter(cloud["x"], cloud["y"], s=7, color=POINTS, alpha=0.4, linewidths=0, rasterized=True)
    below.errorbar(groups["at"], groups["mean"], yerr=_ends(groups), **DOTS)
    below.axhline(table.y.mean(), **ALL_ROWS)
    below.plot(groups["at"], groups["mean"], color=INK, linewidth=1)
    below.yaxis.set_major_formatter(table.formatter())
    below.yaxis.set_major_locator(MaxNLocator(5))
    outside = int(((known < low) | (known > high)).sum())
    if outside:
        caption += f" {count(outside, 'row')} beyond the axis."
    pad = 0.6 if few else (high - low or 1) * 0.03
    below.set_xlim(low - pad, high + pad)
    numbers_across(below, whole=few)
    alt = f"Histogram of {name} from {number(known.min())} to {number(known.max())}, and {table.outcome} along it"
    return figure(drawing, name, caption, alt)


def _category(table: TableDataset, name: str, groups: pd.DataFrame) -> html.Html:
    """Row counts as bars on the left, the target on the right."""
    labels, left = beside(list(groups["label"]))
    height, width = 22 * len(labels), (WIDTH - left - 34) / 2
    drawing = chart(height + 50)
    rows = panel(drawing, left, 26, width, height)
    outcome = panel(drawing, left + width + 16, 26, width, height, sharey=rows)
    rows.barh(groups.index, groups["rows"], height=0.7, color=BLUE)
    rows.xaxis.set_major_formatter(tick)
    outcome.errorbar(groups["mean"], groups.index, xerr=_ends(groups), **DOTS)
    outcome.axvline(table.y.mean(), **ALL_ROWS)
    outcome.xaxis.set_major_formatter(table.formatter())
    outcome.margins(x=0.1)
    for axes, title in ((rows, "rows"), (outcome, shorten(table.outcome, width))):
        lines(axes, labels, 3)
        axes.set_title(title, fontsize=FONT, color=MUTED, pad=8)
    outcome.tick_params(labelleft=False)
    summary = ", ".join(f"{label} {amount}" for label, amount in zip(groups["label"], groups["rows"], strict=True))
    return figure(drawing, name, _caption(table, groups), f"Rows per level of {name}: {summary}; and {table.outcome}")
