"""The result of a monitoring run, and whether it triggers a retraining."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from roadmap.config.limits import MonitorSettings
from roadmap.io.json import JsonObject
from roadmap.monitoring.drift import ColumnDrift
from roadmap.monitoring.live import LiveScore
from roadmap.monitoring.window import Window

BUDGET_DAYS = 30


@dataclass(frozen=True)
class DriftReport:
    verdict: Literal["quiet", "drift", "too few rows", "off"]
    summary: str  # one human-readable sentence
    findings: tuple[ColumnDrift, ...] = ()
    live: LiveScore | None = None  # if there are labels


def assess_drift(
    project: str, found: Window, findings: list[ColumnDrift], live: LiveScore | None, settings: MonitorSettings
) -> DriftReport:
    drifted = [one for one in findings if one.drifted]
    reasons = [one.sentence for one in drifted[:3]]
    if len(drifted) > 3:
        reasons.append(f"{len(drifted) - 3} more")
    if live is not None and live.regressed:
        reasons.insert(0, live.sentence)
    if reasons:
        return DriftReport(
            "drift", f"{project}: drift in {found.rows:,} predictions: {'; '.join(reasons)}.", tuple(findings), live
        )
    least = f"no column differs significantly by {settings.gap:.0%} or more"
    score = f"; {live.sentence}" if live else ""
    return DriftReport(
        "quiet", f"{project}: quiet, {least} in {found.rows:,} predictions{score}.", tuple(findings), live
    )


def retraining_allowed(past: list[datetime], now: datetime, settings: MonitorSettings) -> tuple[bool, str]:
    """Whether a retraining is allowed, and why. `past`: times of earlier ones."""
    if past and now - max(past) < timedelta(days=settings.cooldown_days):
        return False, f"cooling down: the last retraining was requested at {max(past):%Y-%m-%d %H:%M}Z"
    recent = sum(now - one < timedelta(days=BUDGET_DAYS) for one in past)
    if recent >= settings.budget:
        return (
            False,
            f"{recent} retrainings in {BUDGET_DAYS} days: the budget is exhausted; check the reports before raising it",
        )
    return True, f"{recent} of {settings.budget} retrainings used in {BUDGET_DAYS} days"


def as_json(verdict: DriftReport, **about: object) -> JsonObject:
    """verdict.json, which the server's status page and Airflow read."""
    live = verdict.live
    return {
        **about,
        "verdict": verdict.verdict,
        "summary": verdict.summary,
        "findings": [
            {"column": one.column, "kind": one.kind, "gap": one.gap, "p": one.p, "drifted": one.drifted,
             "unseen": one.unseen}
            for one in verdict.findings
        ],
        "live": None if live is None else {"metric": live.metric, "value": live.value, "low": live.low,
                                           "high": live.high, "test": live.test, "labels": live.labels,
                                           "worse": live.regressed},
    }  # fmt: skip
