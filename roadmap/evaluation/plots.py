"""Evaluation plots. Each function returns a matplotlib figure."""

import unicodedata
import warnings
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.text
import numpy as np
from matplotlib.figure import Figure

from roadmap.config.schema import SHIPPED
from roadmap.evaluation.scores import Score, roc_auc
from roadmap.io.json import JsonObject

matplotlib.use("Agg")
import matplotlib.pyplot as plt

BLUE, ORANGE, GREY, RED = "#2b6cb0", "#dd6b20", "#a0aec0", "#c53030"
plt.rcParams.update(
    {
        "figure.figsize": (6.4, 4.2),
        "figure.dpi": 130,
        "figure.constrained_layout.use": True,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": "#e2e8f0",
        "axes.titlelocation": "left",
        "axes.titleweight": "bold",
        "legend.frameon": False,
    }
)


def save(figure: Figure, path: Path) -> None:
    """As PNG; as SVG if there is Chinese text, which needs the fonts of the browser."""
    texts = [text.get_text() for text in figure.findobj(matplotlib.text.Text)]
    if any(unicodedata.east_asian_width(char) in "WF" for text in texts for char in text):
        with plt.rc_context({"svg.fonttype": "none", "svg.hashsalt": "plots"}), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Glyph")
            figure.savefig(path.with_suffix(".svg"), metadata={"Date": None})
    else:
        figure.savefig(path, metadata={"Software": None})
    plt.close(figure)


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


def predicted_vs_actual(targets: np.ndarray, predictions: np.ndarray) -> Figure:
    """targets, predictions: [n], of a regression"""
    figure, ax = plt.subplots(figsize=(5, 5))
    ax.scatter(targets, predictions, s=6, alpha=0.35, color=BLUE, lw=0, rasterized=True)
    ends = [min(targets.min(), predictions.min()), max(targets.max(), predictions.max())]
    ax.plot(ends, ends, color=RED, lw=1, label="perfect")
    ax.set(title="Predicted against actual", xlabel="actual", ylabel="predicted")
    ax.legend()
    return figure


def residuals(targets: np.ndarray, predictions: np.ndarray) -> Figure:
    """Residuals by prediction, and their histogram. targets, predictions: [n]"""
    figure, (left, right) = plt.subplots(1, 2, figsize=(8.4, 4))
    errors = predictions - targets
    left.scatter(predictions, errors, s=6, alpha=0.35, color=BLUE, lw=0)
    left.axhline(0, color=RED, lw=1)
    left.set(title="Residuals", xlabel="predicted", ylabel="predicted - actual")
    left.locator_params(axis="x", nbins=4)
    right.hist(errors, bins=50, color=BLUE)
    right.axvline(0, color=RED, lw=1)
    right.set(title="Distribution of residuals", xlabel="predicted - actual", ylabel="rows")
    right.locator_params(axis="x", nbins=4)
    return figure


def confusion(targets: np.ndarray, predictions: np.ndarray, classes: list[str]) -> Figure:
    """Rows of the true class, columns of the predicted one; colour is the fraction of the row.

    targets, predictions: class indices [n]
    """
    k = len(classes)
    counts = np.zeros((k, k), dtype=int)
    np.add.at(counts, (targets.astype(int), predictions.astype(int)), 1)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure, ax = plt.subplots(figsize=(1.6 + 0.5 * max(k, 5), 1.2 + 0.5 * max(k, 5)))
    ax.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for i, j in np.ndindex(k, k):
        if counts[i, j]:
            ax.text(
                j, i, str(counts[i, j]), ha="center", va="center", fontsize=8, color="w" if shares[i, j] > 0.5 else "k"
            )
    ax.set(xticks=range(k), yticks=range(k), xticklabels=classes, yticklabels=classes)
    if max(map(len, classes)) > 5:
        ax.tick_params(axis="x", rotation=45)
    ax.set(title="Confusion matrix", xlabel="predicted", ylabel="actual")
    ax.grid(False)
    return figure


def roc_and_pr(targets: np.ndarray, scores: np.ndarray) -> Figure:
    """ROC and precision-recall curves of a binary classifier. targets: 0/1 [n], scores: [n]"""
    order = np.argsort(-scores, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)  # one point per distinct score
    hits = np.cumsum(targets[order])[ends]
    chosen = ends + 1
    recall, precision = hits / targets.sum(), hits / chosen
    false_alarms = (chosen - hits) / (len(targets) - targets.sum())
    figure, (left, right) = plt.subplots(1, 2, figsize=(8.4, 4))
    left.plot(np.r_[0, false_alarms], np.r_[0, recall], color=BLUE, label=f"AUC {roc_auc(targets, scores):.3f}")
    left.plot([0, 1], [0, 1], color=GREY, ls="--", lw=1)
    left.set(title="ROC", xlabel="false positive rate", ylabel="true positive rate")
    left.legend(loc="lower right")
    average = float(np.sum(np.diff(np.r_[0, recall]) * precision))
    right.step(np.r_[0, recall], np.r_[precision[0], precision], where="pre", color=BLUE, label=f"AP {average:.3f}")
    right.axhline(targets.mean(), color=GREY, ls="--", lw=1, label="chance")
    right.set(title="Precision and recall", xlabel="recall", ylabel="precision", ylim=(0, 1.02))
    right.legend(loc="lower left")
    return figure


def calibration(
    targets: np.ndarray, scores: np.ndarray, x: str = "predicted probability", y: str = "observed share"
) -> Figure:
    """Reliability diagram with ten bins of about equal count; equal scores share a bin.

    targets: 0 or 1 [n], scores: probabilities [n]; x, y: labels of the axes
    """
    edges = np.unique(np.quantile(scores, np.linspace(0, 1, 11)[1:-1]))
    place = np.digitize(scores, edges)
    bins = [np.flatnonzero(place == b) for b in np.unique(place)]
    predicted = np.array([scores[part].mean() for part in bins])
    observed = np.array([targets[part].mean() for part in bins])
    error = float(np.sum(np.abs(predicted - observed) * [len(part) for part in bins]) / len(scores))
    figure, ax = plt.subplots(figsize=(5, 5))
    ax.plot([0, 1], [0, 1], color=GREY, ls="--", lw=1, label="perfect")
    spread = 1.96 * np.sqrt(np.maximum(observed * (1 - observed), 1e-9) / [len(part) for part in bins])
    ax.errorbar(predicted, observed, yerr=spread, fmt="o-", color=BLUE, ms=5, lw=1, label=f"expected error {error:.3f}")
    low = max(0.0, min(predicted.min(), observed.min()) - 0.05)
    ax.set(title="Calibration", xlabel=x, ylabel=y, xlim=(low, 1.02), ylim=(low, 1.02))
    ax.legend(loc="upper left")
    return figure


def wrong_images(
    images: np.ndarray, targets: np.ndarray, probabilities: np.ndarray, classes: list[str] | None = None, most: int = 40
) -> Figure:
    """The most confident wrong predictions. images: [n, h, w] or [n, h, w, 3], probabilities: [n, classes]"""
    predictions, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    names = classes or [str(label) for label in range(probabilities.shape[1])]
    wrong = np.flatnonzero(predictions != targets)
    wrong = wrong[np.argsort(-confidence[wrong], kind="stable")][:most]
    columns = min(8, max(4, len(wrong)))
    rows = max(1, -(-len(wrong) // columns))
    long = max(map(len, names)) > 5  # long names need a line each
    size = (1.1 * columns, (1.55 if long else 1.4) * rows + 0.4)
    figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False)
    for ax in axes.flat:
        ax.axis("off")
    for ax, i in zip(axes.flat, wrong, strict=False):
        ax.imshow(images[i], cmap="gray_r")
        title = f"{names[targets[i]]}{chr(10) if long else ' '}taken for {names[predictions[i]]}"
        ax.set_title(f"{title}\n{confidence[i]:.0%} sure", fontsize=6.5 if long else 7, loc="center")
    count = int((predictions != targets).sum())
    figure.suptitle(
        f"{len(wrong)} of {count} wrong predictions among {len(targets):,}, most confident first", fontsize=10
    )
    return figure


def fairness(table: JsonObject) -> Figure:
    """Accuracy, positive rate and base rate by group, one panel per attribute."""
    rows = [(f"{name}: {group}", one) for name, part in table.items() for group, one in part["groups"].items()]
    figure, ax = plt.subplots(figsize=(6.4, 0.4 * len(rows) + 1.9))
    marks = (("accuracy", BLUE, "D"), ("positive_rate", ORANGE, "o"), ("true_rate", GREY, "|"))
    for column, colour, marker in marks:
        places = range(len(rows))
        ax.plot([one[column] for _, one in rows], places, marker, color=colour, label=column.replace("_", " "), ms=8)
    gaps = "\n".join(
        f"gap by {name}: accuracy {part['gap']['accuracy']:.2f}, positive rate {part['gap']['positive_rate']:.2f}"
        for name, part in table.items()
    )
    ax.set(yticks=range(len(rows)), yticklabels=[f"{name} ({one['rows']:,})" for name, one in rows], xlim=(-0.02, 1.02))
    ax.set_title(f"Groups of people\n{gaps}", fontsize=9)
    ax.invert_yaxis()
    figure.legend(loc="outside lower center", ncols=3)
    return figure


def per_class(targets: np.ndarray, predictions: np.ndarray, classes: list[str]) -> Figure:
    """Precision, recall and F1 of every class, worst F1 on top. targets, predictions: class indices [n]"""
    table = []
    for label, name in enumerate(classes):
        hits = np.sum((targets == label) & (predictions == label))
        chosen, there = np.sum(predictions == label), np.sum(targets == label)
        precision, recall = hits / max(chosen, 1), hits / max(there, 1)
        table.append((2 * hits / max(chosen + there, 1), precision, recall, f"{name} ({there:,})"))
    table.sort(reverse=True)
    figure, ax = plt.subplots(figsize=(6.4, 0.36 * len(classes) + 1.4))
    places = range(len(table))
    marks = (("F1", BLUE, "D"), ("precision", ORANGE, "<"), ("recall", GREY, ">"))
    for column, (name, colour, marker) in enumerate(marks):
        ax.plot([row[column] for row in table], places, marker, color=colour, label=name, ms=6)
    for place, row in enumerate(table):
        ax.annotate(f"{row[0]:.3f}", (1.01, place), xycoords=("axes fraction", "data"), va="center", fontsize=8)
    ax.set(yticks=places, yticklabels=[row[3] for row in table], title="Classes, by F1")
    ax.legend(loc="lower left", ncols=3, bbox_to_anchor=(0, -0.3 + 0.012 * len(table)), fontsize=8)
    return figure


def severities(accuracies: dict[str, list[float]]) -> Figure:
    """Accuracy by severity of each corruption; severity 0 is none."""
    figure, ax = plt.subplots()
    for name, values in accuracies.items():
        ax.plot(values, "o-", ms=4, label=name)
    most = max(map(len, accuracies.values()))
    ax.set(
        title="Accuracy on corrupted images", xlabel="severity", ylabel="accuracy", xticks=range(most), ylim=(0, 1.02)
    )
    ax.legend(loc="lower left")
    return figure


def heatmaps(images: np.ndarray, maps: np.ndarray, titles: list[str], title: str) -> Figure:
    """Each image next to a grey copy with its map as overlay. images: [n, h, w, 3], maps: [n, h, w]"""
    columns = 4
    rows = -(-len(images) // columns)
    figure, axes = plt.subplots(rows, 2 * columns, figsize=(2.1 * columns, 1.4 * rows + 0.5), squeeze=False)
    for ax in axes.flat:
        ax.axis("off")
    for i, (image, heat) in enumerate(zip(images, maps, strict=True)):
        left, right = axes[i // columns, 2 * (i % columns) : 2 * (i % columns) + 2]
        left.imshow(image)
        left.set_title(titles[i], fontsize=6.5, loc="left")
        right.imshow(image.mean(axis=-1), cmap="gray", vmin=0, vmax=255)
        most = max(float(np.abs(heat).max()), 1e-6)
        right.imshow(heat, cmap="RdBu_r", vmin=-most, vmax=most, alpha=0.6)
        right.set_title(f"up to {100 * most:.0f} points", fontsize=6.5, loc="left")
    figure.suptitle(f"{title}: red where occlusion lowers the probability", fontsize=10)
    return figure
