"""Plots of a classification: curves, calibration, confusion, groups."""

import numpy as np
from matplotlib.figure import Figure

from roadmap.evaluation.plots.style import BLUE, GREY, ORANGE, plt
from roadmap.evaluation.scores import roc_auc
from roadmap.io.json import JsonObject


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
