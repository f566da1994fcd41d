"""The drift report: one HTML page, the result first."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.ticker import PercentFormatter

from roadmap.config.limits import MonitorSettings
from roadmap.monitoring.drift import ColumnDrift
from roadmap.monitoring.reference import Levels, Numbers, Reference
from roadmap.monitoring.verdict import DriftReport
from roadmap.monitoring.window import Window
from roadmap.reporting import html, page, style
from roadmap.reporting.bars import split_bars
from roadmap.reporting.figures import chart, figure, legend, panel
from roadmap.reporting.formatting import percent
from roadmap.reporting.histograms import numbers_across
from roadmap.reporting.page import Section

DRAWN = 8  # columns, those that differ most
LEVELS = 10

Counts = Numbers | Levels


def write(
    path: Path,
    project: str,
    verdict: DriftReport,
    then: Reference,
    now: dict[str, Counts],
    found: Window,
    how: MonitorSettings,
) -> None:
    about = (
        f"{found.rows:,} predictions from {found.since:%Y-%m-%d %H:%M} to {found.until:%Y-%m-%d %H:%M} UTC, against "
        f"{then.rows:,} of the test rows"
    )
    with style.applied():
        sections = [
            overview(verdict, then, found, how),
            columns(verdict, then, now),
            quality(verdict, then, now, found),
        ]
        if verdict.live is not None:
            sections.append(performance(verdict))
        path.write_text(page.render(f"{project}: drift", html.escape(about), sections), encoding="utf-8")


def overview(verdict: DriftReport, then: Reference, found: Window, how: MonitorSettings) -> Section:
    facts = html.facts(
        [
            ("Verdict", mark(verdict.verdict, bad=verdict.verdict == "drift")),
            (
                "Columns that differ",
                f"{len({one.column for one in verdict.findings if one.drifted})} of {len(then.columns)}",
            ),
            ("Drift threshold", f"a difference of at least {percent(how.gap)}, p below {percent(how.alpha)}"),
            ("Unreadable rows", f"{found.unreadable:,}"),
        ]
    )
    text = (
        "The difference is the largest distance of the two cumulative distributions for a number (Kolmogorov-Smirnov), "
        "and the fraction of rows that would have to change for a category or for missing values (chi-squared). "
        "P-values are corrected for the number of columns (Holm)."
    )
    return Section("Verdict", verdict.summary, [facts, html.paragraph(text)])


def mark(text: str, bad: bool) -> html.Html:
    return html.Html(f'<span class="verdict {"differs" if bad else "alike"}">{html.escape(text)}</span>')


def columns(verdict: DriftReport, then: Reference, now: dict[str, Counts]) -> Section:
    rows = [
        {
            "Column": one.column,
            "Of": one.kind,
            "Verdict": mark("differs" if one.drifted else "alike", bad=one.drifted),
            "Gap": percent(one.gap),
            "By chance": f"{one.p:.2g}" if one.p >= 0.001 else "under 0.001",
        }
        for one in verdict.findings
    ]
    names = list(dict.fromkeys(one.column for one in verdict.findings if one.kind == "values"))[:DRAWN]
    gaps = {one.column: one for one in reversed(verdict.findings) if one.kind == "values"}
    drawings = [drawn(name, then.columns[name], now[name], gaps[name]) for name in names]
    lead = "Sorted by difference. Columns that begin with “answer” are the model's outputs."
    return Section("Columns", lead, [html.table(rows, "Every test"), html.grid(drawings)])


def drawn(name: str, then: Counts, now: Counts, one: ColumnDrift) -> html.Html:
    caption = f"Gap {percent(one.gap)}."
    if isinstance(then, Levels):
        shares = {"test": np.array(then.counts) / max(then.known, 1), "log": np.array(now.counts) / max(now.known, 1)}
        ranked = np.argsort(-(shares["test"] + shares["log"]), kind="stable").tolist()
        order = [place for place in ranked if then.counts[place] or now.counts[place]][:LEVELS]
        return split_bars(
            [then.levels[n] for n in order],
            {key: of[order] for key, of in shares.items()},
            name,
            caption,
            style.LOG_COLOURS,
        )
    drawing = chart(220)
    axes = panel(drawing, 46, 26, 302, 166)
    assert isinstance(then, Numbers)
    for (label, colour), counts in zip(style.LOG_COLOURS.items(), (then, now), strict=True):
        below = np.cumsum(counts.counts)[:-1] / max(counts.known, 1)
        axes.plot(then.edges, below, color=colour, label=label, drawstyle="steps-post")
    axes.set_ylim(0, 1)
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    numbers_across(axes)
    legend(axes)
    return figure(drawing, name, f"Share of rows below. {caption}", f"Cumulative distributions of {name}, test and log")


def quality(verdict: DriftReport, then: Reference, now: dict[str, Counts], found: Window) -> Section:
    rows = [
        {
            "Column": name,
            "Missing in the test set": percent(counts.missing / max(then.rows, 1)),
            "Missing in the log": percent(now[name].missing / max(found.rows, 1)),
            "Rare or unseen levels": percent(share) if (share := unseen(name, verdict.findings)) else "none",
        }
        for name, counts in then.columns.items()
        if not name.startswith("answer: ")
    ]
    gaps = [
        name for name, counts in then.columns.items() if now[name].missing > counts.missing * found.rows / then.rows
    ]
    lead = (
        f"{len(gaps)} of {len(rows)} inputs are missing more often than in the test set."
        if gaps
        else "No input is missing more often than in the test set."
    )
    return Section("Data quality", lead, [html.table(rows, "Inputs")])


def unseen(name: str, findings: tuple[ColumnDrift, ...]) -> float:
    return max((one.unseen for one in findings if one.column == name), default=0.0)


def performance(verdict: DriftReport) -> Section:
    live: Any = verdict.live
    facts = html.facts(
        [
            (
                "Verdict",
                mark("worse than on the test set" if live.regressed else "as on the test set", bad=live.regressed),
            ),
            (live.metric, f"{live.value:.4f}, 95% interval {live.low:.4f} to {live.high:.4f}"),
            ("On the test set", f"{live.test:.4f}"),
            ("Labels", f"{live.labels:,}"),
        ]
    )
    return Section("Performance", live.sentence + ".", [facts])
