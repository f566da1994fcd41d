"""How good the answers were, once the truth has arrived: labels that `pipelines.label` joined by request id."""

from dataclasses import dataclass

import numpy as np

from pipelines.common.score import Score

LEAST = 50  # labels, to say anything


@dataclass(frozen=True)
class Live:
    metric: str
    value: float
    low: float  # 95% interval
    high: float
    test: float  # what the test rows had
    labels: int
    worse: bool

    @property
    def sentence(self) -> str:
        interval = f"95% interval {self.low:.4f} to {self.high:.4f}"
        found = f"{self.metric} of {self.labels:,} labelled answers is {self.value:.4f} ({interval})"
        return f"{found}, {self.test:.4f} in the test"


def live(score: Score, test: Score, seed: int) -> Live | None:
    """Worse means that the 95% interval of the difference to the test rows lies on the wrong side of zero."""
    if len(score.per_item) < LEAST:
        return None
    low, high = score.interval(seed)
    sign = 1 if score.higher_is_better else -1
    # Two samples, not pairs: each is drawn by itself.
    loss = sign * (test.resampled(seed) - score.resampled(seed + 1))
    worse = bool(np.percentile(loss, 2.5) > 0)
    return Live(score.headline, score.value, low, high, test.value, len(score.per_item), worse)
