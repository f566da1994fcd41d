"""Two predictors side by side: which is slower, and by how much."""

import time
from collections.abc import Sequence
from typing import Any

import pytest
from pydantic import BaseModel

from roadmap.bundle import Bundle, Predictor
from roadmap.evaluation.speed import CALLERS, TURNS, Timed, side_by_side


class Number(BaseModel):
    number: float


class Sleepy(Predictor[Number, Number]):
    Request = Response = Number

    def __init__(self, bundle: Bundle | None, seconds: float = 0.0) -> None:
        self.seconds, self.asked = seconds, 0

    def predict(self, inputs: Sequence[Number]) -> list[Number]:
        self.asked += len(inputs)
        time.sleep(self.seconds)
        return list(inputs)


def test_a_ratio_is_of_medians_turn_by_turn() -> None:
    slow = Timed([[2.0, 2.0, 90.0], [4.0, 4.0, 4.0], [1.0, 1.0, 1.0]], [[5.0]])
    fast = Timed([[1.0, 1.0, 1.0], [2.0, 2.0, 70.0], [0.5, 0.5, 0.5]], [[5.0]])
    ratio = slow.ratio(fast)
    assert (ratio.low, ratio.value, ratio.high) == pytest.approx((2, 2, 2))
    noisy = Timed([[2.0], [1.0], [4.0]], [[5.0]]).ratio(fast)
    assert noisy.low < noisy.value < noisy.high


def test_the_slower_one_is_seen_and_all_are_asked_the_same() -> None:
    predictors: dict[str, Any] = {"slow": Sleepy(None, 0.004), "quick": Sleepy(None, 0.001)}
    times = side_by_side(predictors, [{"number": n} for n in range(7)], seconds=0.2)
    assert times["slow"].ratio(times["quick"]).low > 1 and times["slow"].percentile(50) >= 4
    assert all(len(times[name].alone) == len(times[name].load) == TURNS for name in predictors)
    assert all(one.asked >= TURNS * (2 + CALLERS) for one in predictors.values())
