"""May this model become champion? Pure judgement: no store, no files."""

from dataclasses import dataclass
from typing import Any

from pipelines.common.config import GateSettings
from pipelines.common.score import Score, gain


@dataclass(frozen=True)
class Champion:
    """The present champion as the gate sees it; `score` is None where it cannot answer the candidate's test rows."""

    version: str
    profile: str
    score: Score | None


@dataclass(frozen=True)
class Check:
    name: str
    passed: bool
    reason: str


def judge(
    candidate: Score, profile: str, latency_ms: float, champion: Champion | None, settings: GateSettings, seed: int
) -> list[Check]:
    """Absolute floor, latency budget, comparison with the champion. The candidate is promoted if all pass."""
    sign = 1 if candidate.higher_is_better else -1
    above = sign * (candidate.value - settings.floor) >= 0
    wanted = "at least" if sign > 0 else "at most"
    return [
        Check("floor", above, f"{candidate.headline} is {candidate.value:.4f}, {wanted} {settings.floor:g} is asked"),
        Check(
            "latency",
            latency_ms <= settings.latency_ms,
            f"95% of single requests take at most {latency_ms:.2f} ms, the budget is {settings.latency_ms:g} ms",
        ),
        _against(candidate, profile, champion, settings.margin, seed),
    ]


def _against(candidate: Score, profile: str, champion: Champion | None, margin: float, seed: int) -> Check:
    """Non-inferiority by a paired bootstrap on the same rows: the gain's 95% interval lies above minus `margin`."""
    if champion is None:
        return Check("champion", True, "there is no champion yet")
    name = f"champion version {champion.version}"
    if champion.profile == "full" and profile == "sample":
        return Check("champion", False, f"{name} was trained on the full data; a model of the sample never replaces it")
    if champion.score is None:
        return Check("champion", True, f"{name} answers another kind of request, so the two cannot be compared")
    difference, low, high = gain(candidate, champion.score, seed)
    interval = f"95% interval {low:+.4f} to {high:+.4f}, {-margin:+g} is tolerated"
    return Check(
        "champion",
        low >= -margin,
        f"{difference:+.4f} {candidate.headline} against {name} on the same rows ({interval})",
    )


def verdict(project: str, checks: list[Check]) -> dict[str, Any]:
    """The decision as it is kept: a sentence for people, the checks for machines."""
    promoted = all(check.passed for check in checks)
    reasons = "; ".join(check.reason for check in checks if promoted or not check.passed)
    return {
        "promoted": promoted,
        "summary": f"{project}: {'promoted' if promoted else 'refused'}, since {reasons}.",
        "checks": {check.name: {"passed": check.passed, "reason": check.reason} for check in checks},
    }
