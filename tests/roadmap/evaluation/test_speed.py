"""Two predictors side by side: which is slower, and by how much."""

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from pydantic import BaseModel

from roadmap.bundle import Bundle, Predictor
from roadmap.evaluation.speed import CALLERS, TURNS, Timed, side_by_side


class Number(BaseModel):
    number: float


class Busy(Predictor[Number, Number]):
    """Counts, then sleeps."""

    Request = Response = Number

    def __init__(self, bundle: Bundle | None, steps: int = 0, seconds: float = 0.0) -> None:
        self.steps, self.seconds, self.asked = steps, seconds, 0

    def predict(self, inputs: Sequence[Number]) -> list[Number]:
        self.asked += len(inputs)
        sum(range(self.steps))
        time.sleep(self.seconds)
        return list(inputs)


def test_a_ratio_is_of_medians_turn_by_turn() -> None:
    slow = Timed(work=[[2.0, 2.0, 90.0], [4.0, 4.0, 4.0], [1.0, 1.0, 1.0]])
    fast = Timed(work=[[1.0, 1.0, 1.0], [2.0, 2.0, 70.0], [0.5, 0.5, 0.5]])
    ratio = slow.ratio(fast)
    assert (ratio.low, ratio.value, ratio.high) == pytest.approx((2, 2, 2))
    noisy = Timed(work=[[2.0], [1.0], [4.0]]).ratio(fast)
    assert noisy.low < noisy.value < noisy.high


def test_the_one_that_works_longer_is_seen_and_all_are_asked_the_same() -> None:
    predictors: dict[str, Any] = {"slow": Busy(None, 40_000), "quick": Busy(None, 10_000)}
    times = side_by_side(predictors, [{"number": n} for n in range(7)], seconds=0.2)
    assert times["slow"].ratio(times["quick"]).low > 1
    for name, one in predictors.items():
        assert len(times[name].work) == TURNS and len(times[name].load) >= TURNS * CALLERS
        assert one.asked >= TURNS * (2 + CALLERS)


def test_waiting_is_latency_and_no_work() -> None:
    times = side_by_side({"sleepy": Busy(None, 0, seconds=0.005)}, [{"number": 0}], seconds=0.1)["sleepy"]
    assert min(times.alone) >= 5 and np.median(np.concatenate(times.work)) < 4
