"""Evaluation plots of a translator. Each function returns a matplotlib figure."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from pipelines.translation.evaluate.bleu import bleu
from pipelines.translation.predict import Attention
from roadmap.evaluation.plots import BLUE, GREY, ORANGE, plt

SHOWN = 8  # translations of either kind
COLUMNS = 100  # of a line


def alignments(found: Sequence[Attention]) -> Figure:
    """What each word of a translation looked at: a row for it, a column for each word of the source."""
    columns = min(2, len(found))
    rows = -(-len(found) // columns)
    longest = max(len(one.target) for one in found)
    figure, axes = plt.subplots(rows, columns, figsize=(5.2 * columns, rows * (0.24 * longest + 1.3)), squeeze=False)
    for ax in axes.flat[len(found) :]:
        ax.axis("off")
    for ax, one in zip(axes.flat, found, strict=False):
        weights = np.array(one.weights).reshape(len(one.target), len(one.source))
        ax.imshow(weights, cmap="Blues", vmin=0, vmax=1, aspect="auto")
        ax.set_xticks(range(len(one.source)), one.source, rotation=45, ha="left", rotation_mode="anchor", fontsize=8)
        ax.set_yticks(range(len(one.target)), one.target, fontsize=8)
        ax.xaxis.tick_top()
        ax.tick_params(length=0)
        ax.grid(visible=False)
    figure.suptitle("Attention of the last layer, mean of its heads", x=0.02, ha="left", weight="bold")
    return figure


def translations(sources: list[str], written: list[str], wanted: list[str], right: np.ndarray) -> Figure:
    """Evenly spaced wrong ones, or such as differ from the reference. right: bool [n]"""
    wrong = np.flatnonzero(~right)
    chosen = wrong[:: max(1, -(-len(wrong) // SHOWN))][:SHOWN]
    figure = plt.figure(figsize=(9, 0.66 * len(chosen) + 0.7), layout="none")
    height = 1 / (3.4 * len(chosen) + 2)
    at = 1 - height / 2
    heading = f"{len(chosen)} of {len(wrong):,} that differ from the reference, among {len(written):,}"
    figure.text(0.02, at, heading, va="top", weight="bold")
    at -= 1.4 * height
    for row in chosen:
        for text, colour in ((sources[row], GREY), (written[row], BLUE), (wanted[row], "k")):
            figure.text(0.02, at, shorten(text), va="top", fontsize=9, color=colour, parse_math=False)
            at -= height
        at -= 0.4 * height
    figure.text(0.98, 1 - height / 2, "source, translation, reference", va="top", ha="right", fontsize=8, color=GREY)
    return figure


def shorten(text: str) -> str:
    return text if len(text) <= COLUMNS else f"{text[: COLUMNS - 1]}…"


def by_kind(kinds: np.ndarray, right: np.ndarray, english: np.ndarray) -> Figure:
    """Exact match by kind and direction. kinds: [n]; right, english: bool [n], of translations and of sources"""
    levels = list(np.unique(kinds))
    figure, ax = plt.subplots(figsize=(6.4, 0.7 * len(levels) + 1.4))
    for shift, (name, rows, colour) in enumerate((("into English", ~english, BLUE), ("into Chinese", english, ORANGE))):
        shares = [float(right[rows & (kinds == kind)].mean()) for kind in levels]
        places = np.arange(len(levels)) + 0.36 * shift - 0.18
        ax.barh(places, shares, 0.34, color=colour, label=name)
        for place, value in zip(places, shares, strict=True):
            ax.text(min(value, 0.9) + 0.01, place, f"{value:.3f}", va="center", fontsize=8)
    ax.set_yticks(
        range(len(levels)), [{"longer": "longer numbers\nthan in training"}.get(kind, kind) for kind in levels]
    )
    ax.set(title="Exact match", xlim=(0, 1))
    ax.invert_yaxis()
    figure.legend(loc="outside lower center", ncols=2)
    return figure


def by_length(lengths: np.ndarray, counts: np.ndarray) -> Figure:
    """BLEU in six groups of sentences, short ones first. lengths: characters [n]; counts: [n, 10]"""
    edges = np.unique(np.quantile(lengths, np.linspace(0, 1, 7)[1:-1]))
    place = np.digitize(lengths, edges)
    groups = [np.flatnonzero(place == group) for group in np.unique(place)]
    values = [float(bleu(counts[group].sum(axis=0))) for group in groups]
    names = [f"{lengths[group].min()} to {lengths[group].max()}" for group in groups]
    figure, ax = plt.subplots()
    ax.bar(range(len(groups)), values, 0.6, color=BLUE)
    ax.axhline(float(bleu(counts.sum(axis=0))), color=GREY, ls="--", lw=1, label="all")
    ax.set_xticks(range(len(groups)), names)
    ax.set(title="BLEU by length", xlabel="characters of the source", ylabel="BLEU, lower-cased")
    ax.legend()
    return figure
