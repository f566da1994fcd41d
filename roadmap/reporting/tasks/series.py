"""The report of price series: prices, returns, autocorrelation, volatility.

A split is a table of days with `date`, `symbol` and `close`; the splits are consecutive in time. What could influence
the choice of a model (distribution, autocorrelation) is of the training period alone.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.ticker import MaxNLocator, NullLocator, PercentFormatter
from scipy import stats

from roadmap.data import splits
from roadmap.io.json import JsonObject
from roadmap.reporting import html
from roadmap.reporting.figures import chart, figure, legend, panel
from roadmap.reporting.formatting import count, join_with_and, number, percent, signed, tick
from roadmap.reporting.page import Section, provenance
from roadmap.reporting.style import BLUE, INK, MUTED, ORANGE, SPLIT_COLOURS
from roadmap.reporting.tasks import drift

MAX_SYMBOLS = 12  # drawn; all are in the tables
POINTS = 600  # per line, about one per pixel
LAGS = 30  # days
MONTH, YEAR = 21, 252  # trading days


@dataclass(frozen=True)
class SeriesDataset:
    symbol: str
    parts: dict[str, pd.DataFrame]  # of each split: date, close, and `r`, the log-return of the day

    @property
    def r(self) -> np.ndarray:
        """Log-returns of the training period: [n]"""
        return self.parts["train"]["r"].dropna().to_numpy()

    @property
    def everything(self) -> pd.DataFrame:
        return pd.concat(self.parts.values(), ignore_index=True)


def sections(folder: Path, card: JsonObject) -> list[Section]:
    """folder: of the prepared splits; card: its card.json"""
    frames = {name: splits.read_table(folder, name) for name in splits.SPLITS}
    every = [one for one in (series(frames, symbol) for symbol in card["schema"]["symbols"]) if len(one.r) > LAGS + 1]
    returns = {name: pd.concat([one.parts[name]["r"] for one in every]).dropna() for name in splits.SPLITS}
    moved = {name: pd.DataFrame({"log-return": of, "its size": of.abs()}) for name, of in returns.items()}
    return [
        _overview(frames, card),
        _prices(every),
        _distribution(every),
        _autocorrelation(every),
        _volatility(every),
        drift.section(moved["train"], moved["test"], {"log-return": "number", "its size": "number"}),
    ]


def series(frames: dict[str, pd.DataFrame], symbol: str) -> SeriesDataset:
    days = pd.concat([frame[frame["symbol"] == symbol].assign(split=name) for name, frame in frames.items()])
    days = days.sort_values("date")
    days["r"] = np.log(days["close"]).diff()
    return SeriesDataset(symbol, {name: days.loc[days["split"] == name, ["date", "close", "r"]] for name in frames})


def _overview(frames: dict[str, pd.DataFrame], card: JsonObject) -> Section:
    symbols = card["schema"]["symbols"]
    first, last = frames["train"]["date"].min(), frames["test"]["date"].max()
    days = pd.concat(frames.values())["date"].nunique()
    lead = (
        f"{count(days, 'trading day')} of {count(len(symbols), 'symbol')} from {first:%Y-%m-%d} to {last:%Y-%m-%d}, "
        "split by date: training days precede validation days, which precede test days."
    )
    facts = [
        *(
            (f"{name.capitalize()}", f"{of['date'].min():%Y-%m-%d} to {of['date'].max():%Y-%m-%d}")
            for name, of in frames.items()
        ),
        ("Symbols", join_with_and(symbols[:MAX_SYMBOLS]) + (" and more" if len(symbols) > MAX_SYMBOLS else "")),
        *provenance(card),
    ]
    cleaned = [{"What was cleaned": note} for note in card.get("cleaning", [])]
    return Section("Overview", lead, [html.facts(facts), *([html.table(cleaned, "Cleaning")] if cleaned else [])])


def _prices(every: list[SeriesDataset]) -> Section:
    drawings, changes, rows = [], {}, []
    for one in every:
        days = one.everything
        close = days["close"].to_numpy()
        changes[one.symbol] = close[-1] / close[0]
        fall = float((close / np.maximum.accumulate(close) - 1).min())
        rows.append(
            {
                "Symbol": one.symbol,
                "First": close[0],
                "Last": close[-1],
                "Lowest": close.min(),
                "Highest": close.max(),
                "Deepest fall": percent(-fall),
            }
        )
    for one in every[:MAX_SYMBOLS]:
        drawing = chart(190)
        axes = panel(drawing, 46, 26, 302, 136)
        axes.set_yscale("log")
        for name, part in one.parts.items():
            thin = part.iloc[:: max(1, len(one.everything) // POINTS)]
            axes.plot(thin["date"], thin["close"], color=SPLIT_COLOURS[name], linewidth=1, label=name)
        axes.yaxis.set_major_locator(MaxNLocator(4))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(tick)
        _dates(axes)
        legend(axes)
        caption = f"Close, on a logarithmic scale: at the end {times(changes[one.symbol])} the first."
        drawings.append(figure(drawing, one.symbol, caption, f"Line of the close of {one.symbol}, coloured by split"))
    most, least = max(changes, key=changes.__getitem__), min(changes, key=changes.__getitem__)
    lead = (
        f"From the first to the last day {most} rose most, to {times(changes[most])} its price, and {least} least, "
        f"to {times(changes[least])}. The scale is logarithmic: equal distances are equal returns."
    )
    return Section("Prices", lead, [html.grid(drawings), html.table(rows, "Closes, all splits")])


def times(factor: float) -> str:
    return f"{number(float(f'{factor:.3g}'))} times"


def _distribution(every: list[SeriesDataset]) -> Section:
    rows = [
        {
            "Symbol": one.symbol,
            "Mean, a year": percent_signed(one.r.mean() * YEAR),
            "Volatility, a year": whole(one.r.std() * np.sqrt(YEAR)),
            "Skewness": round(float(stats.skew(one.r)), 2),
            "Excess kurtosis": round(float(stats.kurtosis(one.r)), 2),
            "Worst day": percent_signed(one.r.min()),
            "Best day": percent_signed(one.r.max()),
        }
        for one in every
    ]
    standard = np.concatenate([(one.r - one.r.mean()) / (one.r.std() or 1) for one in every])
    beyond = float((np.abs(standard) > 4).mean())
    expected = 2 * stats.norm.sf(4)
    kurtosis = float(np.median([stats.kurtosis(one.r) for one in every]))
    lead = (
        f"Of the training days, {percent(beyond)} moved by more than four standard deviations of their symbol: "
        f"{number(round(beyond / expected))} times as many as in a normal distribution. "
        f"The median excess kurtosis, 0 for a normal distribution, is {number(kurtosis)}."
    )
    drawing = chart(246)
    axes = panel(drawing, 46, 42, 302, 176)
    edges = np.linspace(-6, 6, 61)
    centres = (edges[:-1] + edges[1:]) / 2
    axes.stairs(
        np.histogram(standard, edges)[0] / len(standard) / np.diff(edges), edges, color=BLUE, fill=True, label="returns"
    )
    axes.plot(centres, stats.norm.pdf(centres), color=INK, linewidth=1, linestyle="--", label="normal")
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(tick)
    axes.set_ylim(1e-4, 1)
    axes.set_xlabel("standard deviations")
    legend(axes)
    alt = "Histogram of standardised daily log-returns on a logarithmic scale, with the normal density"
    shown = figure(drawing, "Density", "Training days, all symbols; logarithmic, so that the tails show.", alt)
    quantiles = chart(246)
    axes = panel(quantiles, 46, 42, 302, 190)
    levels = (np.arange(200) + 0.5) / 200
    at = stats.norm.ppf(levels)
    axes.plot(at, at, color=MUTED, linewidth=1, linestyle="--")
    axes.plot(at, np.quantile(standard, levels), color=BLUE, marker="o", markersize=2, linestyle="none")
    axes.set_xlabel("normal quantile")
    caption = "Against normal quantiles; on the dashed line both agree."
    right = figure(quantiles, "Quantiles", caption, "Quantiles of standardised returns against those of the normal")
    return Section("Returns", lead, [html.grid([shown, right]), html.table(rows, "Daily log-returns, training days")])


def percent_signed(value: float) -> str:
    return f"{100 * value:+.1f}%".replace("-", "−")


def autocorrelation(values: np.ndarray, lags: int = LAGS) -> np.ndarray:
    """Autocorrelation at lags 1 to `lags`. values: [n] -> [lags]"""
    centred = values - values.mean()
    variance = float(centred @ centred) or 1.0
    return np.array([float(centred[lag:] @ centred[:-lag]) / variance for lag in range(1, lags + 1)])


def _autocorrelation(every: list[SeriesDataset]) -> Section:
    band = 1.96 / np.sqrt(np.median([len(one.r) for one in every]))
    mean = {
        "returns": np.mean([autocorrelation(one.r) for one in every], axis=0),
        "squared returns": np.mean([autocorrelation(one.r**2) for one in every], axis=0),
    }
    drawings = []
    for (name, values), colour in zip(mean.items(), (BLUE, ORANGE), strict=True):
        drawing = chart(226)
        axes = panel(drawing, 46, 42, 302, 170)
        axes.axhspan(-band, band, color=MUTED, alpha=0.2, linewidth=0)
        axes.bar(np.arange(1, LAGS + 1), values, color=colour, width=0.7)
        low = min(-2 * band, float(min(value.min() for value in mean.values())) * 1.1)
        axes.set_ylim(low, max(0.1, float(max(value.max() for value in mean.values())) * 1.15))
        axes.set_xlabel("days before")
        axes.yaxis.set_major_locator(MaxNLocator(5))
        caption = "Mean over the symbols; grey: the 95% band of a single symbol without autocorrelation."
        first = ", ".join(signed(value) for value in values[:5])
        alt = f"Bars of the autocorrelation of {name} at lags of 1 to {LAGS} days, which begin with {first}"
        drawings.append(figure(drawing, name.capitalize(), caption, alt))
    beyond = {name: int((np.abs(values) > band).sum()) for name, values in mean.items()}
    returns, squares = (signed(values[0]) for values in mean.values())
    lead = (
        f"A day's return has a correlation of {returns} with the one before, its square one of {squares}. "
        f"{beyond['returns']} of {LAGS} lags lie outside the band for returns, which would predict the direction, and "
        f"{beyond['squared returns']} for squares, which predict the size of moves."
    )
    return Section("Autocorrelation", lead, [html.grid(drawings)])


def _volatility(every: list[SeriesDataset]) -> Section:
    drawings: list[html.Html] = []
    tops: dict[str, tuple[float, Any, float]] = {}
    for one in every:
        days = one.everything
        rolling = days["r"].rolling(MONTH).std() * np.sqrt(YEAR)
        when = days["date"][rolling.idxmax()]
        tops[one.symbol] = (float(rolling.max()), when, float(rolling.median()))
        if len(drawings) >= MAX_SYMBOLS:
            continue
        drawing = chart(176)
        axes = panel(drawing, 46, 26, 302, 124)
        for name, part in one.parts.items():
            inside = days["date"].isin(part["date"]).to_numpy()
            thin = slice(None, None, max(1, len(days) // POINTS))
            axes.plot(
                days["date"][inside][thin], rolling[inside][thin], color=SPLIT_COLOURS[name], linewidth=1, label=name
            )
        axes.set_ylim(0)
        axes.yaxis.set_major_locator(MaxNLocator(4))
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        _dates(axes)
        caption = f"Median {whole(tops[one.symbol][2])}, at most {whole(tops[one.symbol][0])} in {when:%Y-%m}."
        drawings.append(
            figure(drawing, one.symbol, caption, f"Line of the volatility of {one.symbol} over {MONTH} days")
        )
    most = max(tops, key=lambda symbol: tops[symbol][0])
    lead = (
        f"The annualised standard deviation of the last {MONTH} daily returns. It was highest for {most}, "
        f"{whole(tops[most][0])} in {tops[most][1]:%Y-%m}, {times(tops[most][0] / tops[most][2])} that symbol's median."
    )
    return Section("Volatility", lead, [html.grid(drawings)])


def whole(share: float) -> str:
    return f"{100 * share:.0f}%"


def _dates(axes: Axes) -> None:
    locator = AutoDateLocator(minticks=3, maxticks=6)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator, show_offset=False))
