"""Plots of a regression."""

import numpy as np
from matplotlib.figure import Figure

from roadmap.evaluation.plots.style import BLUE, RED, plt


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
