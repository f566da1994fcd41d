"""Plots of a training: learning curves, variants, baselines."""

from typing import Any

from matplotlib.figure import Figure

from roadmap.config.schema import SHIPPED
from roadmap.evaluation.plots.style import BLUE, GREY, ORANGE, plt
from roadmap.evaluation.scores import Score
from roadmap.io.json import JsonObject


def baselines(rows: list[JsonObject], score: Score) -> Figure:
    """Test score of every baseline and of the shipped model, with the spread of the cross-validation if any."""
    ranked = sorted([*rows, {"name": "shipped model", "test": score.value}], key=lambda row: row["test"])
    if not score.higher_is_better:
        ranked.reverse()  # best on top
    figure, ax = plt.subplots(figsize=(6.4, 0.42 * len(ranked) + 1.4))
    for place, row in enumerate(ranked):
        shipped = row["name"] == "shipped model"
        if "cv_mean" in row:
            style: dict[str, Any] = {"fmt": "|", "ms": 9, "color": ORANGE, "lw": 1.5}
            ax.errorbar(row["cv_mean"], place, xerr=row["cv_std"], **style, label=f"{row['folds']}-fold mean ± std")
        ax.plot(
            row["test"], place, "o", ms=9 if shipped else 6, color=BLUE if shipped else "#4a5568", label="test split"
        )
        ax.annotate(f"{row['test']:.3f}", (1.01, place), xycoords=("axes fraction", "data"), va="center", fontsize=8)
    ax.set(yticks=range(len(ranked)), yticklabels=[row["name"] for row in ranked], xlabel=score.headline)
    ax.set_title(f"{score.headline}: shipped model and baselines")
    if not score.higher_is_better:
        ax.set_xlabel(f"{score.headline}, lower is better")
    legend = dict(zip(*reversed(ax.get_legend_handles_labels()), strict=True))  # one entry per label
    if len(legend) > 1:
        ax.legend(legend.values(), legend.keys(), loc="upper left")
    return figure


def learning_curves(history: list[tuple[str, dict[str, float]]]) -> Figure:
    """Training and validation loss of the shipped model by epoch."""
    rows = [row for variant, row in history if variant == SHIPPED]
    figure, ax = plt.subplots()
    for name, colour in (("train_loss", GREY), ("val_loss", BLUE)):
        points = [(row["epoch"], row[name]) for row in rows if name in row]
        ax.plot(*zip(*points, strict=True), color=colour, label=name.replace("_", " "))
    ax.set(title="Learning curves", xlabel="epoch", ylabel="loss")
    low, high = ax.dataLim.intervaly
    if low > 0 and high > 10 * low:
        ax.set_yscale("log")
    ax.legend()
    return figure


def convergence(history: list[tuple[str, dict[str, float]]], metric: str) -> Figure:
    """Distance of each variant from the lowest value reached by any."""
    figure, ax = plt.subplots()
    values = [row[metric] for _, row in history if metric in row]
    best = min(values)
    floor = 1e-7 * abs(best)
    for variant in dict.fromkeys(variant for variant, _ in history):
        points = [
            (row["epoch"], max(row[metric] - best, floor)) for v, row in history if v == variant and metric in row
        ]
        width = 2.5 if variant == SHIPPED else 1.3
        ax.plot(*zip(*points, strict=True), label=variant, lw=width)
    title = "Convergence to the closed form"
    ax.set(title=title, xlabel="epoch", ylabel=f"{metric.replace('_', ' ')} above the best", yscale="log")
    ax.legend()
    return figure


def variants(history: list[tuple[str, dict[str, float]]], metric: str) -> Figure:
    """A validation metric by epoch, of the shipped model and its variants."""
    figure, ax = plt.subplots()
    for variant in dict.fromkeys(variant for variant, _ in history):
        points = [(row["epoch"], row[metric]) for v, row in history if v == variant and metric in row]
        ax.plot(*zip(*points, strict=True), label=variant, lw=2.5 if variant == SHIPPED else 1.3)
    ax.set(title=f"{metric.replace('_', ' ').capitalize()}, by epoch", xlabel="epoch")
    ax.legend()
    return figure
