"""How good the answers were, once the truth has arrived: labels that `pipelines.label` joined by request id."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from roadmap.evaluation.labelled import LabelScorer
from roadmap.evaluation.scores import Score
from roadmap.prediction_log.labels import LabelledPrediction

LEAST = 50  # labels, to say anything


@dataclass(frozen=True)
class LiveScore:
    """The headline metric of the labelled answers with its 95% interval, and that of the test rows."""

    metric: str
    value: float
    low: float
    high: float
    test: float
    labels: int
    worse: bool  # the two intervals don't meet

    @property
    def sentence(self) -> str:
        found = f"{self.metric} of {self.labels:,} labelled answers is {self.value:.4f}"
        return f"{found} (95% interval {self.low:.4f} to {self.high:.4f}), {self.test:.4f} in the test"


def live_score(score: Score | None, tested: dict[str, Any], seed: int) -> LiveScore | None:
    """`tested`: the headline of metrics.json; without it there is nothing to compare with."""
    if score is None or not tested or len(score.per_item) < LEAST:
        return None
    low, high = score.interval(seed)
    worse = high < tested["ci95_low"] if score.higher_is_better else low > tested["ci95_high"]
    return LiveScore(score.headline, score.value, low, high, tested["value"], len(score.per_item), worse)


def scored(scorer: LabelScorer, version: str, known: Iterable[LabelledPrediction]) -> Score | None:
    """Of what this version answered; None where its project takes no labels, or none has come."""
    rows, outputs = [], []
    for one in known:
        row = scorer.row(one.label, one.input)
        if one.version == version and row is not None:
            rows.append(row)
            outputs.append(one.output)
    return scorer.score(rows, outputs) if rows else None
