"""Evaluation plots of an aligned language model."""

import textwrap
from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from roadmap.evaluation.plots import BLUE, GREY, ORANGE
from roadmap.training.history import Row

SHOWN, WIDTH = 4, 84  # pairs of texts, and characters of a line


def overoptimisation(history: list[tuple[str, Row]]) -> Figure:
    """Both rewards over the divergence from the reference, epoch by epoch. Where they part, the reward model is
    deceived (Gao, Schulman and Hilton, "Scaling Laws for Reward Model Overoptimization", 2023)."""
    variants = dict.fromkeys(variant for variant, row in history if "val_kl" in row)
    figure, panels = plt.subplots(1, len(variants), figsize=(1.2 + 4.4 * len(variants), 4), sharey=True, squeeze=False)
    for ax, variant in zip(panels[0], variants, strict=True):
        rows = [row for name, row in history if name == variant and "val_kl" in row]
        kl = [row["val_kl"] for row in rows]
        for name, label, colour in (("val_learned", "learned reward", ORANGE), ("val_reward", "true reward", BLUE)):
            ax.plot(kl, [row[name] for row in rows], "o-", color=colour, label=label)
        for row in (rows[0], rows[-1]):
            at = (row["val_kl"], row["val_reward"])
            label = f"epoch {row['epoch']:.0f}"
            ax.annotate(label, at, (0, -12), textcoords="offset points", ha="center", fontsize=8, color=GREY)
        ax.set(title=f"Rewards and divergence, {variant}", xlabel="KL from the reference, nats a text")
    panels[0, 0].set_ylabel("mean reward, validation prompts")
    panels[0, 0].legend()
    return figure


def rewards(pairs: Sequence[Any]) -> Figure:
    """Distributions of the judge's rewards. pairs: of pipelines.rlhf.evaluate.Pair"""
    figure, ax = plt.subplots(figsize=(7, 3.6))
    edges = np.linspace(-1 - 1 / 12, 1 + 1 / 12, 14).tolist()
    for name, label, colour in (("before", "reference", GREY), ("reward", "aligned", BLUE)):
        values = np.array([getattr(pair, name) for pair in pairs])
        ax.hist(
            values, edges, histtype="stepfilled", alpha=0.45, color=colour, label=f"{label}, mean {values.mean():.2f}"
        )
    ax.set(title="True reward of the test texts", xlabel="reward", ylabel="texts")
    ax.legend()
    return figure


def texts(pairs: Sequence[Any]) -> Figure:
    """Prompts, and what both models write behind them."""
    lines: list[str] = []
    for pair in pairs[:SHOWN]:
        for name, text, reward in (("before", pair.before_text, pair.before), ("after", pair.text, pair.reward)):
            whole = f"{name:6s} {reward:+.2f}  {pair.prompt}\N{BLACK RIGHT-POINTING SMALL TRIANGLE}{text}"
            lines += textwrap.wrap(whole, WIDTH, subsequent_indent=" " * 14)
        lines.append("")
    figure, ax = plt.subplots(figsize=(8.4, 0.6 + 0.165 * len(lines)))
    ax.axis("off")
    style: dict[str, Any] = {"family": "monospace", "fontsize": 8, "va": "top", "parse_math": False}
    ax.text(0, 1, "\n".join(lines), transform=ax.transAxes, **style)
    ax.set_title("Texts (after ▸) and their true reward")
    return figure
