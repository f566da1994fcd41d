"""Evaluation plots of a language model."""

import textwrap
from itertools import pairwise
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from roadmap.evaluation.plots import BLUE, GREY, ORANGE


def perplexity_by_position(logprobs: list[list[float | None]]) -> Figure:
    """Perplexity by the number of preceding tokens. logprobs: of each window's tokens"""
    longest = max(map(len, logprobs))
    table = np.full((len(logprobs), longest), np.nan)
    for row, window in zip(table, logprobs, strict=True):
        row[1 : len(window)] = window[1:]
    positions = np.arange(1, longest)
    perplexity = np.exp(-np.nanmean(table[:, 1:], axis=0))
    edges = np.unique(np.round(np.geomspace(1, longest - 1, 12)).astype(int))
    middles, means = [], []
    for low, high in pairwise(edges):
        part = slice(low, high)  # positions low to high - 1
        middles.append(np.sqrt(low * high))
        means.append(np.exp(-np.nanmean(table[:, part])))
    figure, ax = plt.subplots()
    ax.plot(positions, perplexity, color=GREY, lw=1, label="each position")
    ax.plot(middles, means, "o-", color=BLUE, label="mean of neighbours")
    ax.set(title="Perplexity by position", xlabel="tokens before", ylabel="perplexity", xscale="log")
    ax.legend()
    return figure


def samples(written: list[tuple[str, str]]) -> Figure:
    """Prompts and their continuations."""
    width, blocks = 84, []
    for prompt, text in written:
        lines = [
            part
            for line in (prompt + "\N{BLACK RIGHT-POINTING SMALL TRIANGLE}" + text).splitlines()
            for part in (textwrap.wrap(line, width, replace_whitespace=False) or [""])
        ]
        blocks.append("\n".join(lines[:22]))
    content = ("\n" + "─" * width + "\n").join(blocks)
    figure, ax = plt.subplots(figsize=(8.4, 0.6 + 0.165 * (content.count("\n") + 1)))
    ax.axis("off")
    style: dict[str, Any] = {"family": "monospace", "fontsize": 8, "va": "top", "parse_math": False}
    ax.text(0, 1, content, transform=ax.transAxes, **style)
    ax.set_title("Continuations (after ▸), temperature 0.8")
    return figure


def memorisation(generated: list[str], held_out: list[str]) -> Figure:
    """The longest substrings of generated and of held-out text that occur in the training text."""
    figure, ax = plt.subplots(figsize=(7.6, 3.4))
    rows = {"generated": (generated, BLUE), "held out (control)": (held_out, ORANGE)}
    for place, (runs, colour) in enumerate(rows.values()):
        ax.plot([len(run) for run in runs], [place] * len(runs), "o", color=colour, alpha=0.6)
        longest = max(runs, key=lambda run: len(run.strip()))  # rules and margins of tables don't count
        label = f"longest, {len(longest)} characters: {textwrap.shorten(longest, 60, placeholder='…')!r}"
        ax.annotate(label, (0.01, place + 0.16), xycoords=("axes fraction", "data"), fontsize=8, parse_math=False)
    ax.set(yticks=range(len(rows)), yticklabels=list(rows), ylim=(-0.5, 1.6), xlim=(0, None))
    ax.set(title="Longest overlap with the training text", xlabel="characters, one point per text")
    return figure
