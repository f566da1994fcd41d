"""Evaluation plots of text classifiers. Each function returns a matplotlib figure."""

import unicodedata
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from roadmap.evaluation.plots.classification import calibration as of_probability
from roadmap.evaluation.plots.style import BLUE, GREY, ORANGE, plt

if TYPE_CHECKING:
    from roadmap.inference.text import Contribution

PANELS = 12  # classes whose words are drawn
COLUMNS = 108  # per line of an excerpt; a Chinese character takes two


def by_length(lengths: np.ndarray, right: np.ndarray) -> Figure:
    """Accuracy with its 95% interval in eight groups of texts, short ones first. lengths: [n] characters, right: [n]"""
    edges = np.unique(np.quantile(lengths, np.linspace(0, 1, 9)[1:-1]))
    place = np.digitize(lengths, edges)
    groups = [np.flatnonzero(place == group) for group in np.unique(place)]
    share = np.array([right[group].mean() for group in groups])
    spread = 1.96 * np.sqrt(share * (1 - share) / [len(group) for group in groups])
    names = [f"{lengths[group].min():,}\nto {lengths[group].max():,}" for group in groups]
    figure, ax = plt.subplots()
    ax.errorbar(range(len(groups)), share, yerr=spread, fmt="o", color=BLUE)
    ax.axhline(right.mean(), color=GREY, ls="--", lw=1, label=f"all {right.mean():.3f}")
    ax.set(title="Accuracy by length", xlabel="characters", ylabel="accuracy", xticks=range(len(groups)))
    ax.set_xticklabels(names, fontsize=8)
    ax.legend()
    return figure


def by_kind(accuracies: dict[str, float], ceiling: float) -> Figure:
    """Bars of accuracies by name, against the highest that label noise allows."""
    figure, ax = plt.subplots(figsize=(6.4, 0.4 * len(accuracies) + 1.7))
    names = [name.removeprefix("accuracy_") for name in accuracies]
    ax.barh(names, list(accuracies.values()), color=BLUE, height=0.6)
    for place, value in enumerate(accuracies.values()):
        ax.text(value - 0.01, place, f"{value:.3f}", color="w", ha="right", va="center", fontsize=8)
    ax.axvline(ceiling, color=ORANGE, lw=1.5, label=f"ceiling {ceiling:.3f}")
    ax.axvline(0.5, color=GREY, ls="--", lw=1, label="chance")
    ax.set(title="Accuracy by kind of text", xlim=(0, 1))
    ax.invert_yaxis()
    figure.legend(loc="outside lower center", ncols=2)
    return figure


def calibration(labels: np.ndarray, predictions: np.ndarray, chances: np.ndarray, classes: list[str]) -> Figure:
    """Of the second of two classes; of more, of the class that is predicted. chances: [n, classes]"""
    if len(classes) == 2:
        return of_probability(labels, chances[:, 1], f"probability of {classes[1]}", f"share of {classes[1]}")
    return of_probability(predictions == labels, chances.max(axis=1), "probability of the label", "share right")


def word_contributions(
    explained: "list[tuple[str, list[Contribution]]]", classes: list[str], most: int = 15, seldom: int = 5
) -> Figure:
    """The tokens with the largest mean contribution to the log-odds of either class, or of each of more than two.

    explained: label and contributions of each text. Tokens in fewer than `seldom` texts are left out.
    """
    if len(classes) == 2:
        means = mean_weights([contributions for _, contributions in explained], seldom)
        ranked = sorted(means, key=lambda token: means[token])
        sides = [(classes[0], BLUE, ranked[:most], means), (classes[1], ORANGE, ranked[::-1][:most], means)]
    else:
        sides = []
        for name in classes[:PANELS]:
            means = mean_weights([contributions for label, contributions in explained if label == name], seldom)
            sides.append((name, BLUE, sorted(means, key=lambda token: -means[token])[:most], means))
    rows = -(-len(sides) // 2)
    figure, axes = plt.subplots(rows, 2, figsize=(8, rows * (0.26 * most + 1.2)), squeeze=False)
    for ax in axes.flat[len(sides) :]:
        ax.axis("off")
    for ax, (name, colour, tokens, means) in zip(axes.flat, sides, strict=False):
        ax.barh(range(len(tokens)), [means[token] for token in tokens], color=colour, height=0.7)
        ax.set_yticks(range(len(tokens)), tokens)
        ax.invert_yaxis()
        ax.set(title=f"for {name}", xlabel="mean contribution to the log-odds")
        ax.grid(visible=False, axis="y")
        ax.locator_params(axis="x", nbins=4)
    return figure


def mean_weights(explained: "list[list[Contribution]]", seldom: int) -> dict[str, float]:
    """Mean contribution of each token that at least `seldom` texts have."""
    weights: dict[str, list[float]] = {}
    for contributions in explained:
        met: dict[str, list[float]] = {}
        for one in contributions:
            met.setdefault(one["token"].lower(), []).append(one["weight"])
        for token, each in met.items():
            weights.setdefault(token, []).append(float(np.mean(each)))
    return {token: float(np.mean(each)) for token, each in weights.items() if len(each) >= seldom}


def mistakes(texts: list[str], targets: np.ndarray, chances: np.ndarray, classes: list[str], most: int = 12) -> Figure:
    """The most confident wrong predictions. chances: [n, classes]"""
    predictions, sure = chances.argmax(axis=1), chances.max(axis=1)
    wrong = np.flatnonzero(predictions != targets)
    chosen = wrong[np.argsort(-sure[wrong], kind="stable")][:most]
    blocks = [
        (f"{classes[targets[i]]}, predicted as {classes[predictions[i]]} with {sure[i]:.1%}", wrapped(texts[i]))
        for i in chosen
    ]
    lines = sum(len(excerpt) + 2 for _, excerpt in blocks) + 2
    figure = plt.figure(figsize=(9, 0.19 * lines + 0.3), layout="none")
    height = 1 / (lines + 1)
    at = 1 - height
    heading = f"{len(chosen)} of {len(wrong)} wrong predictions among {len(texts):,}, most confident first"
    figure.text(0.02, at, heading, va="top", weight="bold")
    for title, excerpt in blocks:
        at -= 2 * height
        figure.text(0.02, at, title, va="top", fontsize=9, color=ORANGE)
        for line in excerpt:
            at -= height
            figure.text(0.02, at, line, va="top", fontsize=9, parse_math=False)
    return figure


def wrapped(text: str, rows: int = 4) -> list[str]:
    """The text in at most so many lines, shortened in the middle, because reviews end with a verdict."""
    clean = " ".join(text.replace("<br />", " ").split())
    if width(clean) > rows * COLUMNS:
        half = rows * COLUMNS // 2 * len(clean) // width(clean) - 4
        clean = f"{clean[:half]} […] {clean[-half:]}"
    lines, line = [], ""
    for char in clean:
        if width(line + char) > COLUMNS:
            at = line.rfind(" ") if " " in line[-20:] and char != " " else len(line)
            lines.append(line[:at].rstrip())
            line = line[at:].lstrip()
        line += char
    return [*lines, line]


def width(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)


def out_of_scope(scores: np.ndarray, kinds: np.ndarray, known: np.ndarray) -> Figure:
    """Histograms of a score that is positive out of scope, of texts with a class and of each kind of the others.

    scores: [n]; kinds: their names [n]; known: bool [n], whether they have a class
    """
    figure, ax = plt.subplots()
    low, high = np.quantile(scores, [0.005, 0.995])
    edges = np.linspace(low, high, 41)
    groups = {"with a class": known} | {f"none, {kind}": ~known & (kinds == kind) for kind in np.unique(kinds[~known])}
    for (name, chosen), colour in zip(groups.items(), (BLUE, ORANGE, GREY), strict=False):
        ax.hist(scores[chosen], list(edges), density=True, histtype="stepfilled", alpha=0.5, color=colour, label=name)
    ax.axvline(0, color="k", ls="--", lw=1, label="threshold")
    ax.set(title="Out of scope", xlabel="score", ylabel="density")
    ax.legend()
    return figure
