"""The live score: the quality of predictions whose labels `pipelines.label` has added."""

from collections.abc import Iterable
from dataclasses import dataclass

from roadmap.evaluation.labelled import LabelScorer
from roadmap.evaluation.scores import Score
from roadmap.io.json import JsonObject
from roadmap.prediction_log.labels import LabelledPrediction

MIN_LABELS = 50  # fewest labels for a score


@dataclass(frozen=True)
class LiveScore:
    """The headline metric of the labelled predictions with its 95% interval, and that of the test rows."""

    metric: str
    value: float
    low: float
    high: float
    test: float
    labels: int
    regressed: bool  # the intervals don't overlap

    @property
    def sentence(self) -> str:
        found = f"{self.metric} of {self.labels:,} labelled predictions is {self.value:.4f}"
        return f"{found} (95% interval {self.low:.4f} to {self.high:.4f}), {self.test:.4f} on the test set"


def live_score(score: Score | None, test_headline: JsonObject, seed: int) -> LiveScore | None:
    """`tested`: the headline of metrics.json; None is returned without it or with too few labels."""
    if score is None or not test_headline or len(score.per_item) < MIN_LABELS:
        return None
    low, high = score.interval(seed)
    regressed = high < test_headline["ci95_low"] if score.higher_is_better else low > test_headline["ci95_high"]
    return LiveScore(score.headline, score.value, low, high, test_headline["value"], len(score.per_item), regressed)


def score_labelled(scorer: LabelScorer, version: str, known: Iterable[LabelledPrediction]) -> Score | None:
    """The score of this version's predictions; None if there are no labels."""
    rows, outputs = [], []
    for one in known:
        row = scorer.row(one.label, one.input)
        if one.version == version and row is not None:
            rows.append(row)
            outputs.append(one.output)
    return scorer.score(rows, outputs) if rows else None
