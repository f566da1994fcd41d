"""Horizontal bar charts, the first bar on top."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter

from roadmap.reporting.figures import chart, figure, legend, panel, shorten, text_width
from roadmap.reporting.formatting import percent
from roadmap.reporting.html import Html
from roadmap.reporting.style import BLUE, MUTED, SPLIT_COLOURS, WIDTH


def bars(shares: dict[str, float], title: str, caption: str, alt: str) -> Html:
    """One bar per name."""
    labels, left = beside(list(shares))
    height = 22 * len(labels)
    drawing = chart(height + 34)
    axes = panel(drawing, left, 26, WIDTH - left - 18, height)
    axes.barh(np.arange(len(labels)), list(shares.values()), height=0.7, color=BLUE)
    lines(axes, labels, 5)
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.set_xlim(0)
    summary = ", ".join(f"{name} {percent(share)}" for name, share in shares.items())
    return figure(drawing, title, caption, f"{alt}: {summary}")


def split_bars(
    classes: Sequence[str],
    shares: dict[str, np.ndarray],
    title: str,
    caption: str,
    colours: dict[str, str] = SPLIT_COLOURS,
) -> Html:
    """The share of each class, one colour per split. shares: split -> [classes]"""
    height = 12 + 16 * len(classes) * len(shares) * 0.8
    labels, left = beside(classes)
    drawing = chart(height + 50)
    axes = panel(drawing, left, 26, WIDTH - left - 14, height)
    thick = 0.8 / len(shares)
    for n, (split, of) in enumerate(shares.items()):
        at = np.arange(len(classes)) - 0.4 + (n + 0.5) * thick
        axes.barh(at, of, height=thick, color=colours.get(split, MUTED), label=split)
    lines(axes, labels, 5)
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    legend(axes)
    summary = "; ".join(
        f"{name} " + ", ".join(f"{level} {percent(share)}" for level, share in zip(classes, of, strict=True))
        for name, of in shares.items()
    )
    return figure(drawing, title, caption, f"Bars by split: {summary}")


def beside(names: Sequence[str]) -> tuple[list[str], float]:
    """The names, truncated to fit left of the bars, and their width in pixels."""
    labels = [shorten(name) for name in names]
    return labels, 10 + max(map(text_width, labels))


def lines(axes: Axes, labels: Sequence[str], ticks: int) -> None:
    """One name per line, at most `ticks` ticks."""
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.grid(axis="x")
    axes.grid(visible=False, axis="y")
    axes.xaxis.set_major_locator(MaxNLocator(ticks))
