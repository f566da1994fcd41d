"""The target: class shares, or a histogram."""

import numpy as np

from roadmap.reporting import html
from roadmap.reporting.bars import split_bars
from roadmap.reporting.figures import chart, figure, panel, shorten
from roadmap.reporting.formatting import number, percent
from roadmap.reporting.histograms import histogram
from roadmap.reporting.page import Section
from roadmap.reporting.style import INK
from roadmap.reporting.tasks.dataset import TableDataset


def section(table: TableDataset) -> Section:
    lead, drawing = _number(table) if table.classes is None else _classes(table, table.classes)
    return Section("Target", lead, [html.grid([drawing])])


def _classes(table: TableDataset, classes: list[str]) -> tuple[str, html.Html]:
    counts = {name: np.bincount(part[table.target], minlength=2) for name, part in table.parts.items()}
    shares = {name: of / max(of.sum(), 1) for name, of in counts.items()}
    negative, positive = shares["train"]
    usual, share = classes[int(positive > negative)], percent(max(negative, positive))
    lead = (
        f"Of the training rows {percent(positive)} are “{classes[1]}” and {percent(negative)} “{classes[0]}”: "
        f"always predicting “{usual}” is right {share} of the time."
    )
    return lead, split_bars(classes, shares, table.target, "Share of each class, by split.")


def _number(table: TableDataset) -> tuple[str, html.Html]:
    y, low, high = table.y, float(table.y.min()), float(table.y.max())
    p5, p95 = (float(value) for value in y.quantile([0.05, 0.95]))
    lead = (
        f"{table.target} has a median of {number(y.median())} and a mean of {number(y.mean())}; "
        f"90% of the training rows lie between {number(p5)} and {number(p95)}."
    )
    top = float((y == high).mean())
    if top > 0.01:
        lead += f" {percent(top)} have exactly the maximum, {number(high)}: the values may be capped."
    drawing = chart(240)
    axes = panel(drawing, 42, 42, 306, 190)
    histogram(axes, y, low, high)
    axes.axvline(y.median(), color=INK, linestyle="--", linewidth=1)
    axes.set_xlabel(shorten(table.target, 300))
    alt = f"Histogram of {table.target} from {number(low)} to {number(high)}"
    return lead, figure(drawing, table.target, "Training rows; the dashed line is the median.", alt)
