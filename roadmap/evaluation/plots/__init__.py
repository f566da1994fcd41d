"""Evaluation plots. Each function returns a matplotlib figure."""

from roadmap.evaluation.plots.classification import calibration, confusion, fairness, per_class, roc_and_pr
from roadmap.evaluation.plots.images import heatmaps, severities, wrong_images
from roadmap.evaluation.plots.regression import predicted_vs_actual, residuals
from roadmap.evaluation.plots.style import BLUE, GREY, ORANGE, RED, plt, save
from roadmap.evaluation.plots.training import baselines, convergence, learning_curves, variants

__all__ = [
    "BLUE",
    "GREY",
    "ORANGE",
    "RED",
    "baselines",
    "calibration",
    "confusion",
    "convergence",
    "fairness",
    "heatmaps",
    "learning_curves",
    "per_class",
    "plt",
    "predicted_vs_actual",
    "residuals",
    "roc_and_pr",
    "save",
    "severities",
    "variants",
    "wrong_images",
]
