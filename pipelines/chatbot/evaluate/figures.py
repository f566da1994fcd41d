"""Evaluation plots of a chat model. Each function returns a matplotlib figure."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from roadmap.evaluation.plots import BLUE, GREY, plt

SHOWN = 10  # answers


def answers(asked: list[str], written: list[str], wanted: list[str]) -> Figure:
    """Questions, the model's answers, and those that were wanted: wrong ones first."""
    right = np.array([one.strip() == other for one, other in zip(written, wanted, strict=True)])
    wrong = np.flatnonzero(~right)
    chosen = [*wrong[:: max(1, len(wrong) // SHOWN)], *np.flatnonzero(right)][:SHOWN]
    figure = plt.figure(figsize=(9, 0.66 * len(chosen) + 0.7), layout="none")
    height = 1 / (3.4 * len(chosen) + 2)
    at = 1 - height / 2
    figure.text(0.02, at, f"{len(wrong)} of {len(right)} are not the wanted answer", va="top", weight="bold")
    at -= 1.4 * height
    for row in chosen:
        for text, colour in ((asked[row], GREY), (written[row].strip(), BLUE), (wanted[row], "k")):
            figure.text(0.02, at, text.replace("\n", " ")[:100], va="top", fontsize=9, color=colour, parse_math=False)
            at -= height
        at -= 0.4 * height
    return figure


def abilities(metrics: Mapping[str, float]) -> Figure:
    """A bar for each of the metrics."""
    figure, ax = plt.subplots(figsize=(7, 0.5 * len(metrics) + 1))
    names = [name.replace("_", " ") for name in metrics]
    bars = ax.barh(names, list(metrics.values()), color=BLUE)
    ax.bar_label(bars, [f"{value:.3f}" for value in metrics.values()], padding=3)
    ax.set_xlim(0, 1.1)
    ax.invert_yaxis()
    ax.set_title("Share of the answers", loc="left")
    return figure
