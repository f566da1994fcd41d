"""Plots of image classification: the images themselves, and corrupted ones."""

import numpy as np
from matplotlib.figure import Figure

from roadmap.evaluation.plots.style import plt


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
