"""Champion and challenger on live requests: python -m pipelines.ab project=titanic [log=...]

    artifacts/<project>/monitoring/ab.html    both versions side by side; the server shows it at /compare/<project>
    artifacts/<project>/monitoring/ab.json    the same, machine-readable

The test allows daily peeking (roadmap/experiments/sequential.py). `python -m pipelines.label` adds the labels.
"""

import math
import os
import re
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pydantic import Field

from roadmap.bundle import MANIFEST, read_manifest
from roadmap.config.params import known_project
from roadmap.evaluation.labelled import LabelScorer
from roadmap.experiments import arms
from roadmap.experiments.arms import Arm, ArmComparison
from roadmap.io import command_line
from roadmap.io.documents import read_json
from roadmap.io.errors import Unavailable, UsageError
from roadmap.io.http import HttpError, ask
from roadmap.io.json import JsonObject
from roadmap.prediction_log import labels
from roadmap.prediction_log import log as recording
from roadmap.project import load_project

LAG = timedelta(minutes=1)  # a shadow request is answered after the champion's response was logged

COUNTS = re.compile(r"^serving_arm_requests_total{(.*)} (\S+)$", re.MULTILINE)


def ab(project: str, log: str, champion: str, challenger: str, server: str, days: int) -> JsonObject:
    """Writes both files and returns what ab.json holds.

    Raises:
        UsageError: unknown project, no log, no challenger in it, or an invalid option.
        Unavailable: the log can't be read.
    """
    home, now = Path("artifacts", project), datetime.now(UTC)
    schema = checked(project, log)
    since = now - timedelta(days=days)
    champion = champion or version(home / "champion") or version(home / "bundle")
    if not champion:
        raise UsageError(
            f"champion: missing; found neither {home / 'champion'} nor {home / 'bundle'}; give champion=<version>"
        )
    challenger = challenger or version(home / "challenger")
    try:
        begun = first(log, project, since, now, champion, challenger)
        known = {(one.request_id, one.index): one for one in labels.read(log, project)}
        old, new = arms.arms(labels.indexed_records(log, project, begun[1] - LAG, now), champion, begun[0], known)
    except labels.store_errors(log) as error:  # only the type: a database's message may contain its password
        raise Unavailable(f"log: unreadable ({type(error).__name__})") from None
    found = arms.compare(old, new, known, LabelScorer(load_project(project), schema))
    counts, trouble = failures(server, project) if server else ({}, "give server= or SERVING_URL")
    both, agreed = arms.agreement(old, new, "classes" in schema)
    content = {
        "at": now.isoformat(timespec="seconds"),
        "project": project,
        "since": begun[1].isoformat(timespec="seconds"),
        "arms": [described(role, arm, counts) for role, arm in (("champion", old), ("challenger", new))],
        "mirrored": {"inputs": both, "agreement": number(agreed)},
        "failures": trouble or "since the server started",
        "score": score_summary(found) if found else None,
        "summary": sentence(project, new.version, found),
        "off_policy": foreseen(home, new.version),
    }
    from roadmap.experiments import page as ab_page  # imports matplotlib, only if there is something to draw

    ab_page.publish(home, content)
    return content


def foreseen(home: Path, challenger: str) -> JsonObject | None:
    """What the log told of this challenger before it answered, if that was asked."""
    file = home / "monitoring" / "off_policy.json"
    if not file.is_file():
        return None
    found = dict(read_json(file, dict[str, Any], "run the off-policy command of the project again"))
    return found if found.get("asked") == challenger else None


def checked(project: str, log: str) -> JsonObject:
    """The schema of the project's bundle, {} if it has none.

    Raises:
        UsageError: unknown project, no log, or an unreadable schema.
    """
    known_project(project)
    if not log:
        raise UsageError("log: missing; give log=<folder or SQLAlchemy URL> or set SERVING_PREDICTIONS")
    if "://" not in log and not Path(log).is_dir():
        raise UsageError(f"log: found no folder {log}")
    for name in ("champion", "bundle", "challenger"):
        if (file := Path("artifacts", project, name, "schema.json")).is_file():
            return dict(read_json(file, dict[str, Any], f"run `dvc repro train@{project}`"))
    return {}


def version(bundle: Path) -> str:
    """The version of a bundle, or "" if there is none."""
    file = bundle / MANIFEST
    return read_manifest(bundle).version if file.is_file() else ""


def first(
    log: str, project: str, since: datetime, until: datetime, champion: str, challenger: str
) -> tuple[str, datetime]:
    """The challenger and the time of its first prediction. By default the only version besides the champion.

    Raises:
        UsageError: the log has no predictions of a challenger, or of several.
    """
    begun: dict[str, datetime] = {}
    for row in recording.read(log, project, since, until):
        begun.setdefault(row.version, row.time)
        if row.version == challenger:
            break
    others = [challenger] if challenger else [one for one in begun if one != champion]
    if len(others) == 1 and others[0] in begun:
        return others[0], begun[others[0]]
    there = ", ".join(begun) or "nothing"
    if challenger:
        raise UsageError(f"challenger: found no predictions of {challenger} in the log; it has {there}")
    raise UsageError(
        f"challenger: missing; found {len(others)} versions besides {champion}: {there}; give challenger=<version>"
    )


def failures(server: str, project: str) -> tuple[dict[tuple[str, str], int], str]:
    """Request counts by (version, outcome), and the reason if they are unavailable."""
    try:
        page = ask(f"{server.rstrip('/')}/metrics", seconds=10).content.decode()
    except (HttpError, ValueError) as error:
        return {}, f"{server} is unreachable ({error})"
    counts: dict[tuple[str, str], int] = {}
    for labelled, value in COUNTS.findall(page):
        has = dict(re.findall(r'(\w+)="([^"]*)"', labelled))
        if has["project"] == project:
            key = has["version"], has["outcome"]
            counts[key] = counts.get(key, 0) + int(float(value))
    return counts, ""


def described(role: str, arm: Arm, counts: dict[tuple[str, str], int]) -> JsonObject:
    p50, p99 = arm.latency()
    failed = counts.get((arm.version, "failed"), 0) if counts else None
    return {
        "role": role,
        "version": arm.version,
        "requests": len(arm.seconds),
        "inputs": len(arm.outputs),
        "p50_ms": number(p50),
        "p99_ms": number(p99),
        "failed": failed,
    }


def score_summary(found: ArmComparison) -> JsonObject:
    looks = [
        {
            "day": day.at.isoformat(),
            "labels": day.labels,
            "difference": number(day.estimate.value),
            "low": number(day.estimate.low),
            "high": number(day.estimate.high),
        }
        for day in found.days
    ]
    return {
        "mode": found.mode,
        "metric": found.metric,
        "labels": found.labels,
        "champion": found.champion,
        "challenger": found.challenger,
        "verdict": found.verdict,
        "p": found.p,
        "looks": looks,
    }


def sentence(project: str, challenger: str, found: ArmComparison | None) -> str:
    if found is None:
        return f"{project}: no labels yet, so the models can't be compared."
    said = {
        "better": "is better than the champion",
        "worse": "is worse than the champion",
        "undecided": "is neither better nor worse yet",
    }[found.verdict]
    score = (
        f"{found.metric} {found.challenger:.4f} against {found.champion:.4f} on {found.labels:,} labelled predictions"
    )
    return f"{project}: challenger {challenger} {said}: {score} ({found.mode}), always valid p {found.p:.2g}."


def number(value: float) -> float | None:
    return float(f"{value:.6g}") if math.isfinite(value) else None


class Options(command_line.Options):
    project: str = Field(description="the project")
    log: str = Field(
        default_factory=lambda: os.environ.get("SERVING_PREDICTIONS", ""),
        description="the prediction log, a folder or a SQLAlchemy URL (SERVING_PREDICTIONS)",
    )
    champion: str = Field(
        "", description="version of a bundle; by default that of artifacts/<project>/champion or .../bundle"
    )
    challenger: str = Field(
        "", description="version; by default that of .../challenger, or the only other one in the log"
    )
    server: str = Field(
        default_factory=lambda: os.environ.get("SERVING_URL", ""),
        description="server address, whose /metrics counts failures (SERVING_URL)",
    )
    days: int = Field(60, ge=1, le=3650, description="window of the log, in days")


def run(options: Options) -> None:
    print(ab(**options.model_dump())["summary"])


def main(argv: list[str]) -> int:
    return command_line.run({"": (Options, run)}, __doc__, argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
