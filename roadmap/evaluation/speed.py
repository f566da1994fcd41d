"""Predictors side by side: latency alone and at load, and whether one is faster."""

import math
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from roadmap.bundle import Predictor
from roadmap.io.json import JsonObject

TURNS = 20
CALLERS = 4  # at load: each asks again as soon as it is answered


@dataclass(frozen=True)
class Ratio:
    """How many times as long the first takes: of the medians, with a 95% interval over the turns."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Timed:
    """In ms. alone, load: of one request, [turn][request]; validation included"""

    alone: list[list[float]]
    load: list[list[float]]

    def percentile(self, share: float, load: bool = False) -> float:
        return float(np.percentile(np.concatenate(self.load if load else self.alone), share))

    def ratio(self, other: "Timed") -> Ratio:
        """To the other, of requests alone: turn by turn, since a machine's speed changes."""
        from scipy import stats

        logs = np.log(
            [np.median(mine) / np.median(theirs) for mine, theirs in zip(self.alone, other.alone, strict=True)]
        )
        error = float(stats.t.ppf(0.975, len(logs) - 1)) * float(logs.std(ddof=1)) / math.sqrt(len(logs))
        mean = float(logs.mean())
        return Ratio(math.exp(mean), math.exp(mean - error), math.exp(mean + error))


def side_by_side(
    predictors: Mapping[str, Predictor[Any, Any]], requests: Sequence[JsonObject], seconds: float = 2.0
) -> dict[str, Timed]:
    """Asks all of them the same, in turns that alternate. seconds: of each, half of it at load"""
    found = {name: Timed([], []) for name in predictors}
    for predictor in predictors.values():
        _ask(predictor, requests, 0, 0.0, least=3)  # first runs are slow
    for turn in range(TURNS):
        for name, predictor in list(predictors.items())[:: 1 if turn % 2 else -1]:
            spell, start = seconds / TURNS / 2, turn * len(requests) // TURNS
            found[name].alone.append(_ask(predictor, requests, start, spell, least=2))
            with ThreadPoolExecutor(CALLERS) as pool:
                callers = [pool.submit(_ask, predictor, requests, start + n, spell) for n in range(CALLERS)]
                found[name].load.append([one for caller in callers for one in caller.result()])
    return found


def _ask(
    predictor: Predictor[Any, Any], requests: Sequence[JsonObject], start: int, seconds: float, least: int = 1
) -> list[float]:
    """One after the other from the request `start`, so many at least."""
    times: list[float] = []
    stop = time.perf_counter() + seconds
    while time.perf_counter() < stop or len(times) < least:
        request = requests[(start + len(times)) % len(requests)]
        began = time.perf_counter()
        predictor.predict([predictor.Request.model_validate(request)])
        times.append((time.perf_counter() - began) * 1e3)
    return times
