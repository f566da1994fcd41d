"""The report of a table: what its columns hold, how they go with the target, whether train and test are alike.

Counts are of all rows. Whatever involves the target is of the training rows alone, so that nobody chooses a model by
looking at the test rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter
from scipy import stats

from pipelines.common import report, splits
from pipelines.common.report import BLUE, INK, MUTED, SPLIT_COLOURS, Html, Section, number, percent, shorten

MAX_FIGURES = 20  # columns drawn; the rest are in the tables
MAX_LEVELS = 12  # bars of a category; the rest are one bar
MAX_HEATMAP = 14
MAX_POINTS = 800  # of a scatter plot
POINTS = "#3c96d0"  # they are an image, whose colour must do for the light and the dark scheme
FEW_VALUES = 12  # a number with so few values is drawn value by value
FAINT = 0.1  # an association not worth naming
MISSING = "(missing)"

# Train and test differ in a column if the gap is both worth mentioning and no accident.
GAP, CHANCE = 0.05, 0.01
ENOUGH = 20  # rows on either side, to say anything


@dataclass(frozen=True)
class Table:
    train: pd.DataFrame
    everything: pd.DataFrame
    target: str
    kinds: dict[str, str]  # number or category, of each column but the target
    classes: list[str] | None  # of a binary target

    @property
    def y(self) -> pd.Series:
        return self.train[self.target].astype(float)

    @property
    def all_kinds(self) -> dict[str, str]:
        return {**self.kinds, self.target: "category" if self.classes else "number"}

    def named(self, frame: pd.DataFrame) -> pd.DataFrame:
        """With the names of the classes for 0 and 1."""
        if self.classes is None:
            return frame
        return frame.assign(**{self.target: frame[self.target].map(dict(enumerate(self.classes)))})

    @property
    def outcome(self) -> str:
        """What the mean of the target is called."""
        if self.classes is None:
            return f"mean {self.target}"
        positive = self.classes[1]
        return f"share {positive}" if len(positive) > 3 else f"share with {self.target} = {positive}"

    def value(self, mean: float) -> str:
        return number(float(f"{mean:.3g}")) if self.classes is None else percent(mean)

    @property
    def formatter(self) -> Any:
        percents = PercentFormatter(1, decimals=0)
        return percents if self.classes else FuncFormatter(lambda value, _: report.short_number(value))


def sections(folder: Path, card: dict[str, Any]) -> list[Section]:
    parts = {name: splits.read(folder, name).replace([np.inf, -np.inf], np.nan) for name in splits.SPLITS}
    schema = card["schema"]
    kinds = {name: spec["kind"] for name, spec in schema["columns"].items()}
    everything = pd.concat(parts.values(), ignore_index=True)
    table = Table(parts["train"], everything, schema["target"], kinds, schema.get("classes"))
    strength = {name: associate(table.train[name], table.y, kind, "number") for name, kind in kinds.items()}
    drawn = sorted(kinds, key=lambda name: -abs(strength[name]))[:MAX_FIGURES]
    found = [
        _overview(table, parts, card),
        _columns(table, schema["ignored"]),
        _missing(table),
        _target(table, parts),
        _distributions(table, drawn),
        _associations(table, strength),
        drift(table.named(parts["train"]), table.named(parts["test"]), table.all_kinds),
    ]
    return [section for section in found if section is not None]


# What the table holds


def _overview(table: Table, parts: dict[str, pd.DataFrame], card: dict[str, Any]) -> Section:
    rows, columns = len(table.everything), len(table.kinds)
    missing = int(table.everything.isna().sum().sum())
    duplicates = int(table.everything.duplicated().sum())
    kinds = [
        report.count(list(table.kinds.values()).count(kind), name)
        for kind, name in (("number", "numeric column"), ("category", "text column"))
        if kind in table.kinds.values()
    ]
    lead = (
        f"{rows:,} rows with {report.listed(kinds)} to predict {table.target}"
        f"{'' if table.classes is None else f' ({table.classes[0]} or {table.classes[1]})'}. "
        f"{percent(missing / (rows * (columns + 1))) if missing else 'None'} of the cells are missing, and "
        f"{percent(duplicates / rows) if duplicates else 'none'} of the rows repeat an earlier one."
    )
    pairs = [(f"Rows, {name}", f"{len(part):,}") for name, part in parts.items()]
    pairs += [
        ("Columns", f"{columns} + target"),
        ("Missing cells", f"{missing:,}"),
        ("Duplicate rows", f"{duplicates:,}"),
        ("Source", card["source"]),
        ("Licence", card["licence"]),
        ("sha256 of the splits", Html(f"<code>{report.escape(card['sha256'])}</code>")),
    ]
    return Section("Overview", lead, [report.facts(pairs)])


def _columns(table: Table, ignored: dict[str, str]) -> Section:
    numbers, categories = [], []
    everything = table.named(table.everything)
    for name, kind in table.all_kinds.items():
        values = everything[name]
        known = values.dropna()
        label = f"{name} (target)" if name == table.target else name
        row = {"Column": label, "Missing": int(values.isna().sum()), "Distinct": int(known.nunique())}
        if kind == "number":
            middle = {"Min": known.min(), "Median": known.median(), "Mean": known.mean(), "Max": known.max()}
            numbers.append({**row, **{title: float(value) for title, value in middle.items()}})
        else:
            shares = _by_frequency(known.value_counts(normalize=True))
            common = ", ".join(f"{level} {percent(share)}" for level, share in shares[:5].items())
            more = len(shares) - 5
            categories.append({**row, "Most frequent": common + (f", {more} more" if more > 0 else "")})
    lead = f"{report.count(len(table.kinds) + 1, 'column')} in use" + (
        f", {len(ignored)} left out." if ignored else ", none left out."
    )
    parts = []
    if numbers:
        parts.append(report.table(numbers, "Numbers, all splits"))
    if categories:
        parts.append(report.table(categories, "Text and classes, all splits"))
    if ignored:
        rows = [{"Column": name, "Why": why} for name, why in ignored.items()]
        parts.append(report.table(rows, "Left out"))
    return Section("Columns", lead, parts)


def _by_frequency(counts: pd.Series) -> pd.Series:
    """The most frequent first, equals by name."""
    return counts.sort_index().sort_values(ascending=False, kind="stable")


def _missing(table: Table) -> Section | None:
    missing = table.everything.isna().sum()
    missing = missing[missing > 0].sort_values(ascending=False, kind="stable")
    if missing.empty:
        return None
    rows = []
    for name, amount in missing.items():
        gone = table.train[name].isna()
        without, known = table.y[gone], table.y[~gone]
        rows.append(
            {
                "Column": name,
                "Missing": int(amount),
                "Share": percent(amount / len(table.everything)),
                f"{table.outcome}, missing": table.value(without.mean()),
                f"{table.outcome}, known": table.value(known.mean()),
            }
        )
    first = str(missing.index[0])
    lead = (
        f"{report.count(len(missing), 'column')} of {len(table.kinds)} {'has' if len(missing) == 1 else 'have'} gaps; "
        f"{first} lacks most, {percent(missing.iloc[0] / len(table.everything))} of its values."
    )
    worst = missing[:20]
    figure, axes = bars([str(name) for name in worst.index], worst.to_numpy() / len(table.everything))
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=None))
    axes.set_xlim(0)
    alt = "Bars of the share of missing values: " + ", ".join(
        f"{name} {percent(amount / len(table.everything))}" for name, amount in worst.items()
    )
    drawing = report.figure(figure, "Missing values", "Share of all rows, by column.", alt)
    return Section("Missing values", lead, [report.grid([drawing]), report.table(rows, "Gaps and the target")])


# The target


def _target(table: Table, parts: dict[str, pd.DataFrame]) -> Section:
    if table.classes:
        counts = {name: np.bincount(part[table.target], minlength=2) for name, part in parts.items()}
        shares = {name: of / max(of.sum(), 1) for name, of in counts.items()}
        negative, positive = shares["train"]
        usual, share = table.classes[int(positive > negative)], percent(max(negative, positive))
        lead = (
            f"Of the training rows {percent(positive)} are “{table.classes[1]}” and {percent(negative)} "
            f"“{table.classes[0]}”: always saying “{usual}” is right {share} of the time."
        )
        drawing = split_bars(table.classes, shares, table.target, "Share of each class, by split.")
        return Section("Target", lead, [report.grid([drawing])])
    values = table.y
    top = float((values == values.max()).mean())
    lead = (
        f"{table.target} has a median of {number(values.median())} and a mean of {number(values.mean())}; "
        f"90% of the training rows lie between {number(values.quantile(0.05))} and {number(values.quantile(0.95))}."
    )
    if top > 0.01:
        lead += f" {percent(top)} have exactly the maximum, {number(values.max())}: it looks like a cap."
    figure = report.chart(240)
    axes = report.panel(figure, 42, 42, 306, 190)
    histogram(axes, values, values.min(), values.max())
    axes.axvline(values.median(), color=INK, linestyle="--", linewidth=1)
    axes.set_xlabel(shorten(table.target, 300))
    alt = f"Histogram of {table.target} from {number(values.min())} to {number(values.max())}"
    drawing = report.figure(figure, table.target, "Training rows; the dashed line is the median.", alt)
    return Section("Target", lead, [report.grid([drawing])])


def split_bars(classes: Sequence[str], shares: dict[str, np.ndarray], title: str, caption: str) -> Html:
    """Grouped bars: the share of each class, one colour per split."""
    height = 12 + 16 * len(classes) * len(shares) * 0.8
    labels = [shorten(name) for name in classes]
    left = 10 + max(map(report.text_width, labels))
    figure = report.chart(int(height) + 50)
    axes = report.panel(figure, left, 26, report.WIDTH - left - 14, height)
    thick = 0.8 / len(shares)
    for n, (split, of) in enumerate(shares.items()):
        lines = np.arange(len(classes)) - 0.4 + (n + 0.5) * thick
        axes.barh(lines, of, height=thick, color=SPLIT_COLOURS.get(split, MUTED), label=split)
    _lines(axes, labels, 5)
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=None))
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=len(shares), borderpad=0, handlelength=1)
    said = "; ".join(
        f"{name} " + ", ".join(f"{level} {percent(share)}" for level, share in zip(classes, of, strict=True))
        for name, of in shares.items()
    )
    return report.figure(figure, title, caption, f"Bars by split: {said}")


# Each column, and the target along it


def _distributions(table: Table, drawn: list[str]) -> Section:
    figures, gaps = [], []
    for name, kind in table.kinds.items():
        if name in drawn:
            groups = along(table, name)
            draw = _number if kind == "number" else _category
            figures.append(draw(table, name, groups))
            usual = groups[groups["rows"] >= min(ENOUGH, groups["rows"].max())]
            gaps.append((usual["mean"].max() - usual["mean"].min(), name, _extremes(table, groups)))
    widest = max(gaps)
    lead = f"{_capital(table.outcome)} changes most along {widest[1]}: {widest[2]}."
    if len(drawn) < len(table.kinds):
        lead += f" Drawn are the {len(drawn)} of {len(table.kinds)} columns that go with the target most."
    scheme = "Training rows. Bars count rows; dots are the " + table.outcome + " with its 95% interval"
    return Section("Distributions", lead, [report.paragraph(scheme + ", dashed for all."), report.grid(figures)])


def along(table: Table, name: str) -> pd.DataFrame:
    """The target in each level or bin of a column -> label, at (of a number: its median), rows, mean, low, high."""
    values = table.train[name]
    if table.kinds[name] == "category":
        text = values.map(str, na_action="ignore").fillna(MISSING)
        counts = text.value_counts()
        common = sorted(counts.index, key=lambda level: (level == MISSING, -counts[level], level))
        if len(common) > MAX_LEVELS:
            rest = f"({len(common) - MAX_LEVELS + 1} others)"
            common = [*common[: MAX_LEVELS - 1], rest]
            text = text.where(text.isin(common), rest)
        keys = pd.Series(pd.Categorical(text, categories=common), index=values.index)
        labels, at = common, [float(line) for line in range(len(common))]
    else:
        keys, labels, at = _bins(values)
    outcomes = table.y.groupby(keys, observed=False)
    mean, rows = outcomes.mean(), outcomes.size()
    if table.classes:  # Wilson's interval, sane at 0 and 1
        spread = 1.96**2 / rows
        centre = (mean + spread / 2) / (1 + spread)
        half = np.sqrt(mean * (1 - mean) * spread + spread**2 / 4) / (1 + spread)
    else:
        centre, half = mean, 1.96 * outcomes.std().fillna(0) / np.sqrt(rows)
    numbers = {"rows": rows, "mean": mean, "low": centre - half, "high": centre + half}
    groups = {"label": list(labels), "at": list(at), **{key: value.to_numpy() for key, value in numbers.items()}}
    return pd.DataFrame(groups).dropna().reset_index(drop=True)


def _bins(values: pd.Series) -> tuple[pd.Series, list[str], list[float]]:
    """Single values if there are few, else tenths of the rows."""
    if values.nunique() <= FEW_VALUES:
        found = sorted(values.dropna().unique())
        keys = pd.Series(pd.Categorical(values, categories=found), index=values.index)
        return keys, [number(value) for value in found], found
    keys = pd.qcut(values, 10, duplicates="drop")
    bins = values.groupby(keys, observed=False)
    labels = [
        f"{number(low)} to {number(high)}" if low < high else number(low)
        for low, high in zip(bins.min(), bins.max(), strict=True)
    ]
    return keys, labels, list(bins.median())


def _extremes(table: Table, groups: pd.DataFrame) -> str:
    """'73% for female, 21% for male', among groups of a size to speak of."""
    usual = groups[groups["rows"] >= min(ENOUGH, groups["rows"].max())]
    if len(usual) < 2:
        return f"{table.value(usual['mean'].iloc[0])} for {usual['label'].iloc[0]}"
    high, low = usual.loc[usual["mean"].idxmax()], usual.loc[usual["mean"].idxmin()]
    return f"{table.value(high['mean'])} for {high['label']}, {table.value(low['mean'])} for {low['label']}"


def _caption(table: Table, groups: pd.DataFrame, more: str = "") -> str:
    return f"{_capital(table.outcome)}: {_extremes(table, groups)}.{more}"


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]


def _number(table: Table, name: str, groups: pd.DataFrame) -> Html:
    """Histogram above; below, the target along the same axis."""
    values = table.train[name]
    known = values.dropna()
    low, high = shown_range(known)
    figure = report.chart(300)
    below = report.panel(figure, 46, 24, 302, 140)
    above = report.panel(figure, 46, 190, 302, 104, sharex=below)
    histogram(above, known, low, high)
    above.tick_params(labelbottom=False)
    more = f" {report.count(len(values) - len(known), 'value')} missing." if len(known) < len(values) else ""
    if table.classes is None:
        cloud = pd.DataFrame({"x": values, "y": table.y}).dropna()
        if len(cloud) > MAX_POINTS:
            more += f" {MAX_POINTS} of {len(cloud):,} rows as points."
            cloud = cloud.sample(MAX_POINTS, random_state=0)
        below.scatter(cloud["x"], cloud["y"], s=7, color=POINTS, alpha=0.4, linewidths=0, rasterized=True)
    intervals(below, table, groups["at"], groups, vertical=True)
    below.plot(groups["at"], groups["mean"], color=INK, linewidth=1)
    outside = int(((known < low) | (known > high)).sum())
    if outside:
        more += f" {report.count(outside, 'row')} beyond the axis."
    pad = 0.6 if few_values(known) else (high - low or 1) * 0.03
    below.set_xlim(low - pad, high + pad)
    axis_numbers(below, few_values(known))
    alt = f"Histogram of {name} from {number(known.min())} to {number(known.max())}, and {table.outcome} along it"
    return report.figure(figure, name, _caption(table, groups, more), alt)


def _category(table: Table, name: str, groups: pd.DataFrame) -> Html:
    """Bars of rows on the left; on the right, the target in the same lines."""
    labels = [shorten(label) for label in groups["label"]]
    height = 22 * len(labels)
    figure = report.chart(height + 50)
    left = 10 + max(map(report.text_width, labels))
    width = (report.WIDTH - left - 34) / 2
    rows = report.panel(figure, left, 26, width, height)
    outcome = report.panel(figure, left + width + 16, 26, width, height, sharey=rows)
    rows.barh(groups.index, groups["rows"], height=0.7, color=BLUE)
    rows.xaxis.set_major_formatter(FuncFormatter(lambda value, _: report.short_number(value)))
    intervals(outcome, table, groups.index, groups, vertical=False)
    for axes, title in ((rows, "rows"), (outcome, shorten(table.outcome, width))):
        _lines(axes, labels, 3)
        axes.set_title(title, fontsize=report.FONT, color=MUTED, pad=8)
    outcome.tick_params(labelleft=False)
    said = ", ".join(f"{label} {rows}" for label, rows in zip(groups["label"], groups["rows"], strict=True))
    return report.figure(
        figure, name, _caption(table, groups), f"Rows per level of {name}: {said}; and {table.outcome}"
    )


def intervals(axes: Axes, table: Table, at: Any, groups: pd.DataFrame, vertical: bool) -> None:
    """A dot and its interval for each group, and a dashed line for all rows."""
    ends = np.stack([groups["mean"] - groups["low"], groups["high"] - groups["mean"]]).clip(min=0)
    options: dict[str, Any] = {"fmt": "o", "color": INK, "markersize": 4.5, "elinewidth": 1.2}
    if vertical:
        axes.errorbar(at, groups["mean"], yerr=ends, **options)
        axes.axhline(table.y.mean(), color=MUTED, linestyle="--", linewidth=1)
        axes.yaxis.set_major_formatter(table.formatter)
        axes.yaxis.set_major_locator(MaxNLocator(5))
    else:
        axes.errorbar(groups["mean"], at, xerr=ends, **options)
        axes.axvline(table.y.mean(), color=MUTED, linestyle="--", linewidth=1)
        axes.xaxis.set_major_formatter(table.formatter)
        axes.margins(x=0.1)


def shown_range(known: pd.Series) -> tuple[float, float]:
    """All of it, unless a long tail would press the rest into a corner: then up to the 99th percentile."""
    low, p1, p99, high = (float(value) for value in known.quantile([0, 0.01, 0.99, 1]))
    if few_values(known):
        return low, high
    body = p99 - p1
    return (p1 if p1 - low > body > 0 else low), (p99 if high - p99 > 0.5 * body > 0 else high)


def few_values(known: pd.Series) -> bool:
    """Whole numbers few enough to draw one by one."""
    return known.nunique() <= FEW_VALUES and bool((known == known.round()).all()) and np.ptp(known) <= 3 * FEW_VALUES


def histogram(axes: Axes, known: pd.Series, low: float, high: float, **options: Any) -> None:
    """Bars of equal width, or one per value where there are few."""
    known = known[(known >= low) & (known <= high)]
    few = few_values(known)
    bins = {"discrete": True, "shrink": 0.8} if few else {"bins": 30, "binrange": (low, high)}
    colours = {"color": BLUE, "alpha": 1, "linewidth": 0}
    sns.histplot(x=known, ax=axes, **{**bins, **colours, **options})
    axes.set(xlabel="", ylabel="")
    axis_numbers(axes, few)
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: report.short_number(value)))


def axis_numbers(axes: Axes, whole: bool = False) -> None:
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=whole))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: report.short_number(value)))


def bars(labels: Sequence[str], values: np.ndarray) -> tuple[Figure, Axes]:
    """Horizontal bars, the first on top."""
    labels = [shorten(label) for label in labels]
    height, left = 22 * len(labels), 10 + max(map(report.text_width, labels))
    figure = report.chart(height + 34)
    axes = report.panel(figure, left, 26, report.WIDTH - left - 18, height)
    axes.barh(np.arange(len(labels)), values, height=0.7, color=BLUE)
    _lines(axes, labels, 5)
    return figure, axes


def _lines(axes: Axes, labels: Sequence[str], ticks: int) -> None:
    """Axes of horizontal bars: a name per line, at most so many ticks."""
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.grid(axis="x")
    axes.grid(visible=False, axis="y")
    axes.xaxis.set_major_locator(MaxNLocator(ticks))


# Which columns go together


def associate(a: pd.Series, b: pd.Series, kind_a: str, kind_b: str) -> float:
    """Pearson's r of two numbers, Cramér's V of two categories, the correlation ratio of one of each.

    The last two are corrected for chance, so that a column of noise with many levels comes out near 0.
    """
    known = a.notna() & b.notna()
    a, b = a[known], b[known]
    n = len(a)
    if n < 3 or a.nunique() < 2 or b.nunique() < 2:
        return 0.0
    if kind_a == kind_b == "number":
        return float(np.corrcoef(a.astype(float), b.astype(float))[0, 1])
    if kind_a == kind_b:
        counts = pd.crosstab(a, b).to_numpy()
        chi2 = stats.chi2_contingency(counts, correction=False).statistic
        rows, columns = counts.shape
        phi2 = max(0.0, chi2 / n - (rows - 1) * (columns - 1) / (n - 1))
        least = min(rows - (rows - 1) ** 2 / (n - 1), columns - (columns - 1) ** 2 / (n - 1)) - 1
        return float(np.sqrt(min(1.0, phi2 / least))) if least > 0 else 0.0
    numbers, levels = (a, b) if kind_a == "number" else (b, a)
    numbers = numbers.astype(float)
    groups = numbers.groupby(levels)
    within = float(((numbers - groups.transform("mean")) ** 2).sum())
    total = float(((numbers - numbers.mean()) ** 2).sum())
    if n <= groups.ngroups or total == 0:
        return 0.0
    return float(np.sqrt(max(0.0, 1 - within / total * (n - 1) / (n - groups.ngroups))))


def _associations(table: Table, strength: dict[str, float]) -> Section:
    ranked = sorted(strength, key=lambda name: -abs(strength[name]))
    shown = [table.target, *[name for name in table.kinds if name in ranked[:MAX_HEATMAP]]]
    kinds = {**table.kinds, table.target: "number"}
    matrix = np.eye(len(shown))
    for i, a in enumerate(shown):
        for j, b in enumerate(shown[:i]):
            # One measure per column against the target, here and in the ranking.
            matrix[i, j] = matrix[j, i] = associate(table.train[a], table.train[b], kinds[a], kinds[b])
    most = signed(strength[ranked[0]])
    lead = f"{ranked[0]} goes with {table.target} most ({most})"
    if abs(strength[ranked[0]]) < FAINT:
        lead = f"No column alone goes with {table.target}; {ranked[0]} comes closest ({most})"
    if len(ranked) > 1:
        lead += f", {ranked[-1]} least ({signed(strength[ranked[-1]])})"
        pairs = np.abs(np.tril(matrix[1:, 1:], -1))
        i, j = divmod(int(pairs.argmax()), len(pairs))
        closest = f"{shown[j + 1]} and {shown[i + 1]} are closest ({signed(matrix[i + 1, j + 1])})"
        lead += f". Of the other pairs, {closest}" if pairs.max() >= FAINT else ". The other pairs hardly go together"
    parts = [_heatmap(shown, matrix)]
    if len(shown) < len(kinds):
        lead += f". Drawn are the {len(shown) - 1} of {len(table.kinds)} columns that go with the target most"
        rows = [{"Column": name, "Association with the target": round(strength[name], 3)} for name in ranked]
        parts.append(report.table(rows, "All columns"))
    return Section("Associations", lead + ".", parts)


def signed(value: float) -> str:
    """-0.25 with a proper minus, and no -0.00."""
    return f"{round(value, 2) + 0.0:.2f}".replace("-", "−")


def _heatmap(names: Sequence[str], matrix: np.ndarray) -> Html:
    labels = [shorten(name) for name in names]
    room = 14 + max(map(report.text_width, labels))
    cell = max(28, min(56, (report.WIDTH - room - 10) / len(names)))
    width, bottom = cell * len(names), 14 + 0.75 * (room - 14)
    figure = report.chart(int(width + bottom + 10), int(width + room + 10))
    axes = report.panel(figure, room, bottom, width, width)
    scale: dict[str, Any] = {"vmin": -1, "vmax": 1, "cmap": "RdBu_r", "cbar": False}
    text = np.vectorize(signed)(matrix)
    size = report.FONT * min(1.0, cell / 40)
    itself = np.eye(len(names), dtype=bool)
    sns.heatmap(matrix, mask=itself, annot=text, fmt="", annot_kws={"size": size}, linewidths=1, ax=axes, **scale)
    axes.grid(visible=False)
    axes.set_yticks(np.arange(len(names)) + 0.5, labels, rotation=0)
    # Anchored at their right ends, wherever the reader's font ends them.
    axes.set_xticks(np.arange(len(names)) + 0.5, labels, rotation=40, ha="right", rotation_mode="anchor")
    axes.tick_params(length=0)
    caption = (
        "Training rows. From −1 to 1 between two numbers (Pearson's r; a binary target counts as 0 and 1), from 0 to 1 "
        "where text is involved (correlation ratio, Cramér's V)."
    )
    alt = f"Heatmap of {report.count(len(names), 'column')}, {names[0]} first: " + ", ".join(
        f"{name} {signed(value)}" for name, value in zip(names[1:], matrix[0, 1:], strict=True)
    )
    return report.figure(figure, "Who goes with whom", caption, alt, wide=True)


# Train against test


@dataclass(frozen=True)
class Comparison:
    """`gap`: the largest difference of the two distribution functions (numbers), or the share of rows that would have
    to change level (categories). `p`: how often chance alone brings as much."""

    column: str
    kind: str
    gap: float
    p: float
    enough: bool

    def verdict(self, columns: int) -> str:
        if not self.enough:
            return "too few rows"
        return "differs" if self.gap >= GAP and self.p < CHANCE / columns else "alike"


def compare(column: str, train: pd.Series, test: pd.Series, kind: str) -> Comparison:
    """Kolmogorov and Smirnov's test of numbers, the chi-squared test of categories; gaps count as a level."""
    if min(len(train), len(test)) < ENOUGH:
        return Comparison(column, kind, float("nan"), float("nan"), False)
    if kind == "category":
        return Comparison(column, kind, *_levels_gap(train, test), True)
    gap, p = _levels_gap(train.isna(), test.isna())
    known, asked = train.dropna(), test.dropna()
    if len(known) and len(asked):
        result = stats.ks_2samp(known, asked, method="asymp")
        gap, p = max(gap, float(result.statistic)), min(1.0, 2 * min(p, float(result.pvalue)))
    return Comparison(column, kind, gap, p, True)


def _levels_gap(train: pd.Series, test: pd.Series) -> tuple[float, float]:
    counts = pd.DataFrame({"train": _count(train), "test": _count(test)}).fillna(0)
    gap = float((counts / counts.sum()).diff(axis=1)["test"].abs().sum() / 2)
    # Levels too rare for the test's approximation are judged together.
    expected = counts.sum(axis=1) * min(len(train), len(test)) / (len(train) + len(test))
    rare = counts[expected < 5].sum()
    counts = counts[expected >= 5]
    if rare.sum():
        counts = pd.concat([counts, rare.to_frame().T])
    return gap, float(stats.chi2_contingency(counts.to_numpy()).pvalue) if len(counts) > 1 else 1.0


def _count(values: pd.Series) -> pd.Series:
    return values.map(str, na_action="ignore").fillna(MISSING).value_counts()


def drift(train: pd.DataFrame, test: pd.DataFrame, kinds: dict[str, str]) -> Section:
    """Whether the test rows look like the training rows, column by column."""
    compared = [compare(name, train[name], test[name], kind) for name, kind in kinds.items()]
    compared.sort(key=lambda one: (-np.nan_to_num(one.gap), one.column))
    verdicts = {one.column: one.verdict(len(compared)) for one in compared}
    differing = [name for name, verdict in verdicts.items() if verdict == "differs"]
    if not any(one.enough for one in compared):
        lead = f"{report.count(len(test), 'test row')} are too few to say whether train and test are alike."
    elif differing:
        lead = (
            f"{len(differing)} of {len(compared)} columns "
            f"{'differs' if len(differing) == 1 else 'differ'} between train and test: "
            f"{report.listed(differing[:5])}{' and more' if len(differing) > 5 else ''}. The largest gap is "
            f"{percent(compared[0].gap)}, in {compared[0].column}."
        )
    else:
        lead = (
            f"Train and test are alike in all {len(compared)} columns: the largest gap, in {compared[0].column}, is "
            f"{percent(compared[0].gap)}, which is small or within chance."
        )
    rows = [
        {
            "Column": one.column,
            "Verdict": _verdict(verdicts[one.column]),
            "Gap": percent(one.gap),
            "By chance": "–" if np.isnan(one.p) else f"{one.p:.2g}" if one.p >= 0.001 else "under 0.001",
            "Train": _typical(train[one.column], one.kind),
            "Test": _typical(test[one.column], one.kind),
        }
        for one in compared
    ]
    how = (
        f"A column differs if its gap is at least {percent(GAP)} and chance alone would bring as much in under "
        f"{percent(CHANCE)} of cases, all columns together. The gap is the largest distance between the two cumulative "
        "distributions (numbers) or the share of rows that would have to change level (text)."
    )
    figures = [_overlay(one, train[one.column], test[one.column]) for one in compared[:3] if one.enough]
    parts = [report.table(rows, "Train and test, the largest gap first"), report.paragraph(how)]
    return Section("Train and test", lead, [*parts, report.grid(figures)] if figures else parts)


def _verdict(verdict: str) -> Html:
    return Html(f'<span class="verdict {verdict if verdict in ("alike", "differs") else "unknown"}">{verdict}</span>')


def _typical(values: pd.Series, kind: str) -> str:
    known = values.dropna()
    if known.empty:
        return "–"
    if kind == "number":
        return f"median {number(known.median())}"
    shares = _count(values) / len(values)
    level = min(shares[shares == shares.max()].index)
    return f"{level} {percent(shares[level])}"


def _overlay(one: Comparison, train: pd.Series, test: pd.Series) -> Html:
    caption = f"Gap {percent(one.gap)}."
    if one.kind == "category":
        counts = pd.DataFrame({"train": _count(train) / len(train), "test": _count(test) / len(test)}).fillna(0)
        counts = counts.loc[_by_frequency(counts.sum(axis=1)).index[:MAX_LEVELS]]
        shares = {name: counts[name].to_numpy() for name in counts}
        return split_bars([str(level) for level in counts.index], shares, one.column, caption)
    figure = report.chart(220)
    axes = report.panel(figure, 46, 26, 302, 166)
    low, high = shown_range(pd.concat([train, test]).dropna())
    edges = np.linspace(low, high, 31)
    for name, values in (("train", train), ("test", test)):
        heights, _ = np.histogram(values.dropna(), edges)
        colour = SPLIT_COLOURS[name]
        axes.stairs(heights / max(1, len(values)), edges, color=colour, label=name, linewidth=1.5, fill=False)
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=None))
    axes.yaxis.set_major_locator(MaxNLocator(4))
    axis_numbers(axes)
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2, borderpad=0, handlelength=1)
    alt = f"Histograms of {one.column} in train and test, one over the other"
    return report.figure(figure, one.column, f"Share of rows per bin. {caption}", alt)
