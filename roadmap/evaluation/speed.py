"""Predictors side by side: latency alone and at load, and whether one is faster."""

import math
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
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
    """In ms, of requests: validation included. alone: one at a time; load: with CALLERS at once; work: CPU time of
    those alone, [turn][request]"""

    alone: list[float] = field(default_factory=list)
    load: list[float] = field(default_factory=list)
    work: list[list[float]] = field(default_factory=list)

    def ratio(self, other: "Timed") -> Ratio:
        """To the other, in CPU time, which other programs on the machine don't lengthen; turn by turn, since its
        speed changes."""
        from scipy import stats

        pairs = zip(self.work, other.work, strict=True)
        logs = np.log([np.median(mine) / np.median(theirs) for mine, theirs in pairs])
        error = float(stats.t.ppf(0.975, len(logs) - 1)) * float(logs.std(ddof=1)) / math.sqrt(len(logs))
        mean = float(logs.mean())
        return Ratio(math.exp(mean), math.exp(mean - error), math.exp(mean + error))


def side_by_side(
    predictors: Mapping[str, Predictor[Any, Any]], requests: Sequence[JsonObject], seconds: float = 2.0
) -> dict[str, Timed]:
    """Asks all of them the same, in turns that alternate. seconds: of each, half of it at load"""
    found = {name: Timed() for name in predictors}
    for predictor in predictors.values():
        _ask(predictor, requests, 0, 0.0, least=3)  # first runs are slow
    for turn in range(TURNS):
        for name, predictor in list(predictors.items())[:: 1 if turn % 2 else -1]:
            spell, start, mine = seconds / TURNS / 2, turn * len(requests) // TURNS, found[name]
            times, work = _ask(predictor, requests, start, spell, least=2)
            mine.alone.extend(times)
            mine.work.append(work)
            with ThreadPoolExecutor(CALLERS) as pool:
                callers = [pool.submit(_ask, predictor, requests, start + n, spell) for n in range(CALLERS)]
                mine.load.extend(one for caller in callers for one in caller.result()[0])
    return found


def _ask(
    predictor: Predictor[Any, Any], requests: Sequence[JsonObject], start: int, seconds: float, least: int = 1
) -> tuple[list[float], list[float]]:
    """One after the other from the request `start`, so many at least. -> ms, and ms of this thread's CPU time"""
    times: list[float] = []
    work: list[float] = []
    stop = time.perf_counter() + seconds
    while time.perf_counter() < stop or len(times) < least:
        request = requests[(start + len(times)) % len(requests)]
        began, worked = time.perf_counter(), time.thread_time()
        predictor.predict([predictor.Request.model_validate(request)])
        times.append((time.perf_counter() - began) * 1e3)
        work.append((time.thread_time() - worked) * 1e3)
    return times, work
