"""Associations between columns, and with the target."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from scipy import stats

from roadmap.reporting import html
from roadmap.reporting.figures import chart, figure, panel, shorten, text_width
from roadmap.reporting.formatting import count, signed
from roadmap.reporting.page import Section
from roadmap.reporting.style import FONT, WIDTH
from roadmap.reporting.tasks.dataset import TableDataset

MAX_HEATMAP = 14  # columns
FAINT = 0.1  # negligible below


def associate(a: pd.Series, b: pd.Series, kind_a: str, kind_b: str) -> float:
    """Pearson's r of two numbers, Cramér's V of two categories, the correlation ratio of one of each.

    The last two are bias-corrected, so that a noise column with many levels is near 0.
    """
    known = a.notna() & b.notna()
    a, b = a[known], b[known]
    if len(a) < 3 or a.nunique() < 2 or b.nunique() < 2:
        return 0.0
    if kind_a == kind_b == "number":
        return float(np.corrcoef(a.astype(float), b.astype(float))[0, 1])
    if kind_a == kind_b:
        return _cramers_v(a, b)
    return _correlation_ratio(a, b) if kind_a == "number" else _correlation_ratio(b, a)


def _cramers_v(a: pd.Series, b: pd.Series) -> float:
    n, counts = len(a), pd.crosstab(a, b).to_numpy()
    chi2 = stats.chi2_contingency(counts, correction=False).statistic
    rows, columns = counts.shape
    phi2 = max(0.0, chi2 / n - (rows - 1) * (columns - 1) / (n - 1))
    least = min(rows - (rows - 1) ** 2 / (n - 1), columns - (columns - 1) ** 2 / (n - 1)) - 1
    return float(np.sqrt(min(1.0, phi2 / least))) if least > 0 else 0.0


def _correlation_ratio(numbers: pd.Series, levels: pd.Series) -> float:
    n, numbers = len(numbers), numbers.astype(float)
    groups = numbers.groupby(levels)
    within = float(((numbers - groups.transform("mean")) ** 2).sum())
    total = float(((numbers - numbers.mean()) ** 2).sum())
    if n <= groups.ngroups or total == 0:
        return 0.0
    return float(np.sqrt(max(0.0, 1 - within / total * (n - 1) / (n - groups.ngroups))))


def with_target(table: TableDataset) -> dict[str, float]:
    """Each column's association with the target, strongest first; classes count as 0 and 1."""
    found = {name: associate(table.train[name], table.y, kind, "number") for name, kind in table.kinds.items()}
    return dict(sorted(found.items(), key=lambda item: -abs(item[1])))


def section(table: TableDataset, strength: dict[str, float]) -> Section:
    """`strength`: from `with_target`."""
    ranked = list(strength)
    shown = [table.target, *(name for name in table.kinds if name in ranked[:MAX_HEATMAP])]
    kinds = {**table.kinds, table.target: "number"}
    matrix = np.eye(len(shown))
    for i, a in enumerate(shown):
        for j, b in enumerate(shown[:i]):
            # One measure per column against the target, here and in the ranking.
            matrix[i, j] = matrix[j, i] = associate(table.train[a], table.train[b], kinds[a], kinds[b])
    most = signed(strength[ranked[0]])
    lead = f"{ranked[0]} is most strongly associated with {table.target} ({most})"
    if abs(strength[ranked[0]]) < FAINT:
        lead = f"No single column is associated with {table.target}; {ranked[0]} comes closest ({most})"
    if len(ranked) > 1:
        lead += f", {ranked[-1]} least ({signed(strength[ranked[-1]])})"
        pairs = np.abs(np.tril(matrix[1:, 1:], -1))
        i, j = divmod(int(pairs.argmax()), len(pairs))
        closest = f"{shown[j + 1]} and {shown[i + 1]} have the strongest association ({signed(matrix[i + 1, j + 1])})"
        lead += (
            f". Of the other pairs, {closest}" if pairs.max() >= FAINT else ". The other pairs are hardly associated"
        )
    parts = [_heatmap(shown, matrix)]
    if len(shown) < len(kinds):
        lead += f". The figure shows the {len(shown) - 1} of {len(table.kinds)} columns most associated with the target"
        rows = [{"Column": name, "Association with the target": round(value, 3)} for name, value in strength.items()]
        parts.append(html.table(rows, "All columns"))
    return Section("Associations", lead + ".", parts)


def _heatmap(names: Sequence[str], matrix: np.ndarray) -> html.Html:
    labels = [shorten(name) for name in names]
    room = 14 + max(map(text_width, labels))
    cell = max(28, min(56, (WIDTH - room - 10) / len(names)))
    width, bottom = cell * len(names), 14 + 0.75 * (room - 14)
    drawing = chart(width + bottom + 10, width + room + 10)
    axes = panel(drawing, room, bottom, width, width)
    sns.heatmap(
        matrix,
        mask=np.eye(len(names), dtype=bool),
        annot=np.vectorize(signed)(matrix),
        annot_kws={"size": FONT * min(1.0, cell / 40)},
        fmt="",
        vmin=-1,
        vmax=1,
        cmap="RdBu_r",
        cbar=False,
        linewidths=1,
        ax=axes,
    )
    axes.grid(visible=False)
    axes.set_yticks(np.arange(len(names)) + 0.5, labels, rotation=0)
    # Right-aligned, because the width depends on the browser's font.
    axes.set_xticks(np.arange(len(names)) + 0.5, labels, rotation=40, ha="right", rotation_mode="anchor")
    axes.tick_params(length=0)
    caption = (
        "Training rows. From −1 to 1 between two numbers (Pearson's r; a binary target counts as 0 and 1), from 0 to 1 "
        "if a category is involved (correlation ratio, Cramér's V)."
    )
    summary = ", ".join(f"{name} {signed(value)}" for name, value in zip(names[1:], matrix[0, 1:], strict=True))
    alt = f"Heatmap of {count(len(names), 'column')}, {names[0]} first: {summary}"
    return figure(drawing, "Associations", caption, alt, wide=True)
