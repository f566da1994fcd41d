"""Evaluation plots: fan charts, coverage, loss by horizon, calibration."""

import numpy as np
from matplotlib.figure import Figure

from pipelines.stocks.evaluate.forecasts import INTERVALS, MEDIAN
from pipelines.stocks.evaluate.forecasts import probability as transform
from pipelines.stocks.predict.features import HORIZONS, QUANTILES
from roadmap.evaluation.plots import BLUE, GREY, ORANGE, RED, plt
from roadmap.io.json import JsonObject

FANS, DAYS, SYMBOLS = 4, 150, 4  # fans per symbol, origins and symbols shown
TALLEST = 15  # percent; longer bars are cut


def fans(targets: np.ndarray, quantiles: np.ndarray) -> Figure:
    """Fan charts of a few forecasts near the end of the test period, with the prices that followed.

    targets: TARGET [n], quantiles: log-returns [n, h, q]
    """
    symbols = np.unique(targets["symbol"])[:SYMBOLS]
    figure, axes = plt.subplots(len(symbols), 1, figsize=(8.4, 2.1 * len(symbols) + 0.6), sharex=True, squeeze=False)
    for ax, symbol in zip(axes[:, 0], symbols, strict=True):
        rows = np.flatnonzero(targets["symbol"] == symbol)[-DAYS:]
        last, date = targets["last"][rows], targets["date"][rows]
        ax.plot(date, last, color="#1a202c", lw=1)
        starts = np.unique(np.linspace(0, len(rows) - max(HORIZONS) - 1, FANS).astype(int).clip(0))
        for start in starts:
            places = start + np.array((0, *HORIZONS))
            if places[-1] >= len(rows):
                continue
            fan = last[start] * np.exp(np.vstack([np.zeros(len(QUANTILES)), quantiles[rows[start]]]))  # [1 + h, q]
            for interval, alpha in ((95, 0.18), (80, 0.3)):
                low, high = (fan[:, end][:, 0] for end in INTERVALS[interval])
                ax.fill_between(date[places], low, high, color=BLUE, alpha=alpha, lw=0, label=f"{interval}% interval")
            ax.plot(date[places], fan[:, MEDIAN], color=BLUE, lw=1.2, label="median")
        ax.set_title(symbol, fontsize=9)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    legend = dict(zip(labels, handles, strict=True))
    axes[0, 0].legend(legend.values(), legend.keys(), loc="upper left", fontsize=8, ncols=3)
    figure.suptitle("Forecasts on the test period, and actual closes", fontsize=11, fontweight="bold")
    figure.autofmt_xdate()
    return figure


def coverage(metrics: dict[str, float], baselines: list[JsonObject]) -> Figure:
    """The share of outcomes in the 80% and the 95% interval, by horizon."""
    figure, axes = plt.subplots(1, 2, figsize=(8.4, 4), sharey=True)
    at = np.arange(len(HORIZONS))
    for ax, interval in zip(axes, (80, 95), strict=True):
        name = f"coverage{interval}"
        ax.axhline(interval / 100, color=RED, lw=1, label="nominal")
        ax.axhspan(interval / 100 - 0.02, interval / 100 + 0.02, color=RED, alpha=0.08, lw=0)
        for n, row in enumerate(baselines):
            marks = [row[f"{name}_{days}d"] for days in HORIZONS]
            ax.plot(at, marks, "_", color=GREY, ms=14, mew=2, label="baselines" if n == 0 else None)
        value, low, high = (
            np.array([metrics[f"{name}{end}_{days}d"] for days in HORIZONS]) for end in ("", "_low", "_high")
        )
        spread = np.maximum([value - low, high - value], 0)
        ax.errorbar(at, value, yerr=spread, fmt="o", color=BLUE, capsize=4, label="shipped model, 95% interval")
        ax.set(title=f"{interval}% interval", xticks=at, xlabel="days ahead")
        ax.set_xticklabels(map(str, HORIZONS))
    axes[0].set_ylabel("share of outcomes inside")
    axes[0].legend(loc="lower left", fontsize=8)
    return figure


def pinball_by_horizon(losses: np.ndarray, baselines: list[JsonObject]) -> Figure:
    """Loss relative to the naive forecast's, by horizon. losses: [h]; baselines: the naive one first"""
    figure, ax = plt.subplots(figsize=(8.4, 4))
    naive = np.array([baselines[0][f"pinball_{days}d"] for days in HORIZONS])
    rows = {row["name"]: np.array([row[f"pinball_{days}d"] for days in HORIZONS]) for row in baselines[1:]}
    rows["shipped model"] = losses
    thick = 0.8 / len(rows)
    colours = [*plt.get_cmap("Greys")(np.linspace(0.25, 0.6, len(rows) - 2)), ORANGE, BLUE]
    for n, (name, row) in enumerate(rows.items()):
        at = np.arange(len(HORIZONS)) - 0.4 + (n + 0.5) * thick
        bars = ax.bar(at, 100 * (row / naive - 1), width=0.92 * thick, color=colours[n], label=name)
        ax.bar_label(bars, fmt="%+.1f", fontsize=7, clip_on=True)
        for x, change in zip(at, 100 * (row / naive - 1), strict=True):
            if change > TALLEST:
                ax.annotate(
                    f"{change:+.0f}",
                    (x, TALLEST),
                    ha="center",
                    va="top",
                    fontsize=7,
                    xytext=(0, -3),
                    textcoords="offset points",
                )
    ax.axhline(0, color="#1a202c", lw=1)
    ax.set_ylim(None, TALLEST)
    ax.set(title="Pinball loss against the naive forecast, in percent: lower is better", xlabel="days ahead")
    ax.set_xticks(range(len(HORIZONS)), [str(days) for days in HORIZONS])
    ax.legend(fontsize=8, ncols=3)
    return figure


def probability(targets: np.ndarray, quantiles: np.ndarray) -> Figure:
    """Probability integral transform: a calibrated forecast puts as much probability everywhere as outcomes fall.

    targets: TARGET [n], quantiles: log-returns [n, h, q]
    """
    bins = transform(targets["y"], quantiles)
    edges = np.array([0, *QUANTILES, 1])
    figure, axes = plt.subplots(1, len(HORIZONS), figsize=(8.4, 3.2), sharey=True)
    for ax, days, column in zip(axes, HORIZONS, bins.T, strict=True):
        shares = np.bincount(column, minlength=len(QUANTILES) + 1) / len(column)
        ax.bar(edges[:-1], shares / np.diff(edges), width=np.diff(edges), align="edge", color=BLUE, edgecolor="w", lw=1)
        ax.axhline(1, color=RED, lw=1)
        ax.set(title=f"{days} day{'s' * (days > 1)} ahead", xlabel="probability below the outcome", xlim=(0, 1))
    axes[0].set_ylabel("outcomes over probability")
    return figure
