"""Champion and challenger in the prediction log: their predictions, latency and score.

A request answered by both was shadowed; one answered by the challenger alone was routed to it by the traffic split.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date
from typing import Any

import numpy as np

from roadmap.evaluation.labelled import LabelScorer
from roadmap.evaluation.scores import Score
from roadmap.experiments import sequential
from roadmap.experiments.sequential import IntervalEstimate
from roadmap.io.json import JsonObject
from roadmap.prediction_log.labels import Label
from roadmap.prediction_log.log import PredictionRecord
from roadmap.prediction_log.row import content

CLOSE = 0.05  # relative tolerance within which two numbers agree

Key = tuple[str, int]  # request id, index of the input


@dataclass
class Arm:
    """The predictions of one version."""

    version: str
    inputs: dict[Key, JsonObject] = field(default_factory=dict)  # labelled ones only
    outputs: dict[Key, JsonObject] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)  # latency by request

    def latency(self) -> tuple[float, float]:
        """Latency in ms: p50 and p99."""
        p50, p99 = np.percentile(list(self.seconds.values()) or [np.nan], [50, 99]) * 1e3
        return float(p50), float(p99)


@dataclass(frozen=True)
class Day:
    """The estimate at the end of a day, from all labels so far."""

    at: date
    labels: int
    estimate: IntervalEstimate


@dataclass(frozen=True)
class ArmComparison:
    """Both scores on labelled predictions; `look` estimates challenger minus champion, positive is better."""

    mode: str  # mirrored or split
    metric: str
    champion: float
    challenger: float
    labels: int  # pairs; with a traffic split, labelled predictions of both
    days: list[Day]

    @property
    def verdict(self) -> str:
        """The first decision of any day. The test allows stopping there, so later days change nothing."""
        for day in self.days:
            if day.estimate.low > 0:
                return "better"
            if day.estimate.high < 0:
                return "worse"
        return "undecided"

    @property
    def p(self) -> float:
        return min(day.estimate.p for day in self.days)


def arms(
    records: Iterable[tuple[PredictionRecord, int]], champion: str, challenger: str, known: Mapping[Key, Label]
) -> tuple[Arm, Arm]:
    """Both. `asked`: rows, each with its place in its request; other versions' are passed over."""
    found = {version: Arm(version) for version in (champion, challenger)}
    for row, index in records:
        if row.version in found:
            arm, key = found[row.version], (row.request_id, index)
            arm.outputs[key], arm.seconds[row.request_id] = content(row, "output"), row.seconds
            if key in known:
                arm.inputs[key] = content(row, "input")
    return found[champion], found[challenger]


def agreement(champion: Arm, challenger: Arm, classes: bool) -> tuple[int, float]:
    """Number of inputs answered by both, and the fraction on which they agree. classes: for a classifier"""
    both = champion.outputs.keys() & challenger.outputs.keys()
    same = [agree(champion.outputs[key], challenger.outputs[key], classes) for key in both]
    return len(both), float(np.mean(same)) if same else math.nan


def agree(first: JsonObject, second: JsonObject, classes: bool) -> bool:
    """Texts and integers must be equal, numbers within 5%; classifiers agree on the class."""
    values = [{name: value for name, value in one.items() if isinstance(value, str | int)} for one in (first, second)]
    if values[0] != values[1] or classes:
        return values[0] == values[1]
    numbers = [list(_numbers(one)) for one in (first, second)]
    return len(numbers[0]) == len(numbers[1]) and bool(np.isclose(numbers[0], numbers[1], rtol=CLOSE).all())


def _numbers(value: Any) -> Iterable[float]:
    if isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _numbers(one)
    elif isinstance(value, float):
        yield value


def compare(champion: Arm, challenger: Arm, known: Mapping[Key, Label], scorer: LabelScorer) -> ArmComparison | None:
    """From shadowed requests, or from the split if it has more labels; None if an arm has none."""
    inputs = challenger.inputs | champion.inputs
    rows = {key: scorer.row(known[key].label, inputs[key]) for key in sorted(inputs, key=lambda key: known[key].time)}
    labelled = {key: (known[key], row) for key, row in rows.items() if row is not None}
    first, second = (labelled.keys() & arm.inputs.keys() for arm in (champion, challenger))
    mirrored = len(first & second) >= len(second - first)
    if mirrored:
        first = second = first & second
    else:
        first, second = first - second, second - first
    old, new = (
        _side(arm, {key: one for key, one in labelled.items() if key in keys}, scorer)
        for arm, keys in ((champion, first), (challenger, second))
    )
    if old is None or new is None:
        return None
    count = len(old.days) + (0 if mirrored else len(new.days))
    mode = "mirrored" if mirrored else "split"
    return ArmComparison(mode, old.score.headline, old.score.value, new.score.value, count, _looks(old, new, mirrored))


@dataclass(frozen=True)
class _Side:
    """A version's labelled predictions.

    good    [n] higher is better
    days    [n] datetime64 of the labels' arrival; ascending
    """

    score: Score
    good: np.ndarray
    days: np.ndarray


def _side(arm: Arm, labelled: dict[Key, tuple[Label, JsonObject]], scorer: LabelScorer) -> _Side | None:
    if not labelled:
        return None
    score = scorer.score([row for _, row in labelled.values()], [arm.outputs[key] for key in labelled])
    low, high = score.reduce(np.array([0.1, 0.2]))
    rises = high > low  # false for R2, which falls with the mean squared error
    sign = 1 if score.higher_is_better == rises else -1
    days = np.array([label.time.astimezone(UTC).date() for label, _ in labelled.values()], "datetime64[D]")
    return _Side(score, sign * score.per_item, days)


def _looks(first: _Side, second: _Side, mirrored: bool) -> list[Day]:
    """One for each day with new labels."""
    days = np.unique(np.concatenate([first.days, second.days]))
    until = zip(*(np.searchsorted(side.days, days, side="right") for side in (first, second)), strict=True)
    found = []
    for day, (n, m) in zip(days.astype(date), until, strict=True):
        if min(n, m) < sequential.MIN_LABELS:
            estimate = IntervalEstimate(math.nan, -math.inf, math.inf, 1.0)
        elif mirrored:
            estimate = sequential.confidence_sequence(sequential.pairs(second.good[:n] - first.good[:n]))
        else:
            estimate = sequential.confidence_sequence(sequential.samples(first.good[:n], second.good[:m]))
        found.append(Day(day, int(n if mirrored else n + m), estimate))
    return found
