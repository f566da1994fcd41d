"""Evaluation plots of a policy: returns, and what it sees, does and expects."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from roadmap.evaluation.plots import BLUE, GREY
from roadmap.io.json import JsonObject

ARROWS = {"left": "←", "right": "→", "up": "↑", "down": "↓"}


def returns(found: np.ndarray, baselines: Sequence[JsonObject]) -> Figure:
    """Returns of the test episodes, [n], with the baselines' means."""
    figure, ax = plt.subplots(figsize=(6.4, 3.6))
    low, high = min(found.min(), *(row["test"] for row in baselines)), found.max()
    ax.hist(found, bins=np.linspace(low, max(high, low + 1), 41).tolist(), color=BLUE)
    for row in baselines:
        ax.axvline(row["test"], color=GREY, linewidth=1, linestyle="--")
    ax.set(title="Returns of the test episodes", xlabel="return; dashed: means of the baselines", ylabel="episodes")
    return figure


def learning(history: Sequence[tuple[str, Mapping[str, float]]]) -> Figure:
    """Returns while learning, by steps of the environment: of whole episodes played greedily from starts kept back, and
    of those that were learnt from. history: (model, row of an epoch), the shipped one and its variants"""
    figure, ax = plt.subplots(figsize=(6.4, 3.6))
    for model in dict.fromkeys(name for name, _ in history):
        rows = [row for name, row in history if name == model]
        (line,) = ax.plot([row["steps"] for row in rows], [row["val_return"] for row in rows], label=f"{model}, greedy")
        known = [row for row in rows if "return" in row]
        drawn = [[row["steps"] for row in known], [row["return"] for row in known]]
        ax.plot(*drawn, color=line.get_color(), linestyle="--", linewidth=1, label=f"{model}, learning")
    ax.set(title="Mean return while learning", xlabel="steps of the environment", ylabel="return")
    ax.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def states(values: np.ndarray, chances: np.ndarray, counts: np.ndarray, names: Sequence[str]) -> Figure:
    """The value of each state, its best action, and how often it was visited. A square grid where the number of states
    is a square, else rows of twelve, of many states rows of twenty. values, counts: [s]; chances: [s, a]"""
    side, few = int(np.sqrt(len(values))), len(values) <= 64
    columns = side if side**2 == len(values) else 12 if few else 20
    rows, cell = -(-len(values) // columns), 0.4 if few else 0.2  # inches
    size = (1.2 + 2 * cell * columns, 1.2 + cell * rows * (1 if not few else 2 if rows > 4 else 1.6))
    figure, axes = plt.subplots(1, 2, figsize=size)
    best = chances.argmax(axis=1)
    for ax, numbers, title in zip(
        axes, (values, counts), ("Value and best action" if few else "Value", "Visits"), strict=True
    ):
        grid = np.full(rows * columns, np.nan)
        grid[: len(numbers)] = numbers
        ax.imshow(grid.reshape(rows, columns), cmap="Blues")
        ax.set(title=title, xticks=[], yticks=[])
    for state in np.flatnonzero(values) if few else ():  # where nothing is to come, no action matters
        word = ARROWS.get(names[best[state]], names[best[state]][:1])
        axes[0].text(state % columns, state // columns, word, ha="center", va="center", fontsize=9)
    return figure


def visited(
    seen: np.ndarray, chances: np.ndarray, values: np.ndarray, parts: Sequence[str], names: Sequence[str]
) -> Figure:
    """What it saw, by the two numbers that its first action depends on most. seen: [n, size]; chances: [n, a]"""
    with np.errstate(invalid="ignore"):
        ties = np.nan_to_num([abs(np.corrcoef(column, chances[:, 0])[0, 1]) for column in seen.T])
    ties[[len(np.unique(column)) < 3 for column in seen.T]] = -1  # what is on or off makes no map
    y, x = np.argsort(ties)[-2:] if len(ties) > 1 else (0, 0)
    figure, axes = plt.subplots(1, 2, figsize=(9.6, 4), sharey=True)
    for ax, colours, title in zip(axes, (chances[:, 0], values), (f"Chance of “{names[0]}”", "Value"), strict=True):
        points = ax.scatter(seen[:, x], seen[:, y], c=colours, s=12, cmap="viridis")
        figure.colorbar(points, ax=ax)
        ax.set(title=title, xlabel=parts[x])
    axes[0].set(ylabel=parts[y])
    return figure


def episode(seen: np.ndarray, parts: Sequence[str]) -> Figure:
    """What was observed in one episode, step by step. seen: [t, size], or numbers of states [t]"""
    figure, ax = plt.subplots(figsize=(6.4, 3.6))
    for name, column in zip(parts or ["state"], np.atleast_2d(seen.T), strict=True):
        ax.plot(column, label=name, linewidth=1)
    ax.set(title="An episode of the trained policy", xlabel="step")
    ax.legend(fontsize=8)
    return figure
