"""The promotion gate: pure functions, without store or files."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from roadmap.config.limits import GateSettings
from roadmap.evaluation.paired import ALPHA, PairedTest, holm, paired_test
from roadmap.evaluation.scores import Score
from roadmap.evaluation.slices import MIN_SLICE_ROWS, Masks, compare_slices
from roadmap.io.json import JsonObject

TEST = "test"
AS_FAST, SMALLER = 1.05, 0.9  # ratios up to which a latency counts as the same, a size as smaller
Scores = Mapping[str, Score]  # by set of rows: `test`, and `recent` if there are collected labels


@dataclass(frozen=True)
class Cost:
    """What the champion costs in another precision, as ratios to what it has.

    ratio, low, high: of the CPU time of one request, with a 95% interval; size: of bytes
    """

    precision: str
    ratio: float
    low: float
    high: float
    size: float


@dataclass(frozen=True)
class Candidate:
    profile: str
    scores: Scores
    latency_ms: float
    size_bytes: int
    slices: Mapping[str, Masks] = field(default_factory=dict)  # by set of rows
    behaviour: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # roadmap.evaluation.behavioural.table
    cost: Cost | None = None  # if it is the champion's own network in another precision


@dataclass(frozen=True)
class Champion:
    """The current champion; `scores` is None if it cannot predict the candidate's rows."""

    version: str
    profile: str
    scores: Scores | None


@dataclass(frozen=True)
class Check:
    name: str
    passed: bool
    reason: str


def evaluate_gate(candidate: Candidate, champion: Champion | None, settings: GateSettings, seed: int) -> list[Check]:
    """The absolute checks, then the comparison with the champion. A candidate is promoted if all pass."""
    return [*_absolute_checks(candidate, settings, seed), *_comparison_checks(candidate, champion, settings, seed)]


def _absolute_checks(candidate: Candidate, settings: GateSettings, seed: int) -> Iterable[Check]:
    score = candidate.scores[TEST]
    sign = 1 if score.higher_is_better else -1
    wanted = "at least" if sign > 0 else "at most"
    reached, found = score.value, f"{score.headline} is {score.value:.4f}"
    if settings.confidence is not None:  # a mean of few rows may be luck
        reached = score.bound(settings.confidence, seed)
        rows, sure = len(score.per_item), f"{settings.confidence:.3g} confidence"
        found += f", {wanted} {reached:.4f} with {sure} by {rows:,} rows"
    yield Check("floor", sign * (reached - settings.floor) >= 0, f"{found}, required: {wanted} {settings.floor:g}")
    if settings.worst_tenth is not None:
        worst = score.worst_tenth
        yield Check(
            "worst tenth",
            sign * (worst - settings.worst_tenth) >= 0,
            f"{score.headline} of the worst tenth is {worst:.4f}, required: {wanted} {settings.worst_tenth:g}",
        )
    yield Check(
        "latency",
        candidate.latency_ms <= settings.latency_ms,
        f"p95 latency of single requests is {candidate.latency_ms:.2f} ms, budget: {settings.latency_ms:g} ms",
    )
    size = candidate.size_bytes / 1e6
    yield Check("size", size <= settings.size_mb, f"the bundle has {size:.2g} MB, budget: {settings.size_mb:g} MB")
    failed = [
        f"{name!r} passes in {one['rate']:.1%} of {one['cases']} cases, required: {one['asked']:.1%}"
        for name, one in candidate.behaviour.items()
        if not one["passed"]
    ]
    passed = f"all {len(candidate.behaviour)} behavioural checks pass"
    yield Check("behaviour", not failed, "; ".join(failed) or passed)


def _comparison_checks(
    candidate: Candidate, champion: Champion | None, settings: GateSettings, seed: int
) -> Iterable[Check]:
    if champion is None:
        yield Check("champion", True, "there is no champion yet")
        return
    name = f"champion version {champion.version}"
    if champion.profile == "full" and candidate.profile == "sample":
        reason = f"{name} was trained on the full dataset, which a model of the sample never replaces"
        yield Check("champion", False, reason)
        return
    if champion.scores is None:
        yield Check(
            "champion", True, f"{name} takes different requests or has other classes, so the two cannot be compared"
        )
        return
    pairs = {rows: (candidate.scores[rows], champion.scores[rows]) for rows in candidate.scores}
    if candidate.cost is not None:
        yield _kept_check(pairs, name, settings.maximum_regression, seed)
        yield _regression_check(candidate, pairs, settings.maximum_regression, seed)
        yield _cost_check(candidate.cost)
        return
    if all(np.array_equal(new.per_item, old.per_item) for new, old in pairs.values()):
        count = sum(len(new.per_item) for new, _ in pairs.values())
        yield Check("champion", False, f"it scores exactly as {name} on each of {count} rows: no improvement")
        return
    gains = {rows: paired_test(new, old, seed) for rows, (new, old) in pairs.items()}
    yield _improvement_check(candidate.scores, gains, name, settings)
    yield _regression_check(candidate, pairs, settings.maximum_regression, seed)


def _improvement_check(scores: Scores, gains: Mapping[str, PairedTest], name: str, settings: GateSettings) -> Check:
    """A significant gain above the minimum on one set of rows, and no loss beyond the tolerance on the other."""
    chances = holm([gain.p(settings.minimum_improvement) for gain in gains.values()])
    ahead = {rows for rows, chance in zip(gains, chances, strict=True) if chance <= ALPHA}
    passed, sentences = bool(ahead), []
    for rows, gain in gains.items():
        least = gain.low(ALPHA / len(gains) if rows in ahead or not ahead else ALPHA)
        sentence = (
            f"{gain.value:+.4f} {scores[rows].headline} against {name} on the same {len(scores[rows].per_item)} {rows} "
            f"rows, at least {least:+.4f} by the {gain.test}"
        )
        effect = f"{settings.minimum_improvement:+g}" if settings.minimum_improvement else "0"
        if rows in ahead:
            sentence += f", which is more than {effect}"
        elif not ahead:
            sentence += f", required: more than {effect}"
        else:
            kept = gain.p(-settings.maximum_regression) <= ALPHA
            passed &= kept
            sentence += f", tolerated: {-settings.maximum_regression:+g}" + (
                "" if kept else "; a larger loss is possible"
            )
        sentences.append(sentence)
    return Check("champion", passed, " and ".join(sentences))


def _kept_check(pairs: Mapping[str, tuple[Score, Score]], name: str, maximum_regression: float, seed: int) -> Check:
    """Another precision need not improve: it loses at most what is tolerated, with 95% confidence."""
    passed, sentences = True, []
    for rows, (new, old) in pairs.items():
        if np.array_equal(new.per_item, old.per_item):
            sentences.append(f"it scores exactly as {name} on each of {len(new.per_item)} {rows} rows")
            continue
        gain = paired_test(new, old, seed)
        kept = gain.p(-maximum_regression) <= ALPHA
        passed &= kept
        sentences.append(
            f"{gain.value:+.4f} {new.headline} against {name} on the same {len(new.per_item)} {rows} rows, at least "
            f"{gain.low():+.4f} by the {gain.test}, tolerated: {-maximum_regression:+g}"
            + ("" if kept else "; a larger loss is possible")
        )
    return Check("champion", passed, " and ".join(sentences))


def _cost_check(cost: Cost) -> Check:
    """It is faster, or as fast and smaller."""
    found = (
        f"{cost.precision} takes {cost.ratio:.2f} times the champion's CPU time for one request (95% interval "
        f"{cost.low:.2f} to {cost.high:.2f}) and has {cost.size:.2f} times its bytes: "
    )
    if cost.low > 1:
        return Check("precision", False, found + "slower here, keep the champion's precision")
    if cost.high < 1:
        return Check("precision", True, found + "faster")
    if cost.high <= AS_FAST and cost.size <= SMALLER:
        return Check("precision", True, found + "as fast, and smaller")
    return Check("precision", False, found + "not shown to be faster, or as fast and smaller; keep the champion's")


def _regression_check(
    candidate: Candidate, pairs: Mapping[str, tuple[Score, Score]], maximum_regression: float, seed: int
) -> Check:
    """No slice of any set of rows significantly loses more than tolerated (Bonferroni over the slices)."""
    parts = [
        (rows, part)
        for rows, (new, old) in pairs.items()
        for part in compare_slices(new, old, candidate.slices.get(rows, {}), seed)
    ]
    regressed = [
        f"slice {part.name} ({part.rows} {rows} rows) loses {-part.gain.value:.4f}, "
        f"tolerated: {maximum_regression:g} (p = {part.loss_p:.2g})"
        for rows, part in parts
        if part.regressed(maximum_regression, len(parts))
    ]
    least = f"none of {len(parts)} slices of at least {MIN_SLICE_ROWS} rows"
    passed = f"{least} significantly loses more than {maximum_regression:g}"
    return Check("slices", not regressed, "; ".join(regressed) or passed)


def decision_record(project: str, checks: list[Check]) -> JsonObject:
    """decision.json: a summary for people, the checks for machines."""
    promoted = all(check.passed for check in checks)
    reasons = "; ".join(check.reason for check in checks if promoted or not check.passed)
    passing = ", ".join(check.name for check in checks if check.passed)
    summary = f"{project}: {'promoted' if promoted else 'refused'} because {reasons}."
    if passing and not promoted:
        summary += f" Passed checks: {passing}."
    return {
        "promoted": promoted,
        "summary": summary,
        "checks": {check.name: {"passed": check.passed, "reason": check.reason} for check in checks},
    }
