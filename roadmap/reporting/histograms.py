"""Histograms and the range that they show."""

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from roadmap.reporting.figures import chart, legend, panel
from roadmap.reporting.formatting import tick
from roadmap.reporting.style import BLUE, SPLIT_COLOURS

FEW_VALUES = 12  # up to this many distinct values are drawn one by one


def histogram(axes: Axes, known: pd.Series, low: float, high: float) -> None:
    """Bins of equal width, or one bar per value if there are few."""
    known = known[(known >= low) & (known <= high)]
    few = few_values(known)
    bins = {"discrete": True, "shrink": 0.8} if few else {"bins": 30, "binrange": (low, high)}
    sns.histplot(x=known, ax=axes, color=BLUE, alpha=1, linewidth=0, **bins)
    axes.set(xlabel="", ylabel="")
    numbers_across(axes, whole=few)
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.yaxis.set_major_formatter(tick)


def outlines(
    shares: dict[str, np.ndarray], edges: np.ndarray, bottom: int, height: int, colours: dict[str, str] = SPLIT_COLOURS
) -> tuple[Figure, Axes]:
    """The share of each bin as overlaid lines, one per split.

    shares: split -> [bins], edges: [bins + 1]; bottom, height: CSS pixels
    """
    drawing = chart(bottom + height + 28)
    axes = panel(drawing, 46, bottom, 302, height)
    for name, of in shares.items():
        axes.stairs(of, edges, color=colours[name], label=name, linewidth=1.5)
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.yaxis.set_major_locator(MaxNLocator(4))
    legend(axes)
    return drawing, axes


def numbers_across(axes: Axes, whole: bool = False) -> None:
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=whole))
    axes.xaxis.set_major_formatter(tick)


def shown_range(known: pd.Series) -> tuple[float, float]:
    """The full range, or up to the 99th percentile if there is a long tail."""
    low, p1, p99, high = (float(value) for value in known.quantile([0, 0.01, 0.99, 1]))
    if few_values(known):
        return low, high
    body = p99 - p1
    return (p1 if p1 - low > body > 0 else low), (p99 if high - p99 > 0.5 * body > 0 else high)


def few_values(known: pd.Series) -> bool:
    """Whether the values are integers and few enough to draw one by one."""
    return known.nunique() <= FEW_VALUES and bool((known == known.round()).all()) and np.ptp(known) <= 3 * FEW_VALUES
