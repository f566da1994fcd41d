"""How often the sequential test of `pipelines.ab` is wrong, and how soon right, if it is checked every day.

    python -m benchmarks.simulations.simulate_ab [--experiments 2000] [--days 60] [--daily 100]

Compared with the usual 5% test, checked just as often. `pairs`: both models predict for the same requests (shadow
traffic); `split`: each for its own callers. Exit code 1 if the sequential test is wrong in significantly more than 5%
of the experiments without a difference.
"""

import argparse
import sys
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from benchmarks import machine
from roadmap.experiments.sequential import ALPHA, MIN_LABELS, TIGHTEST_AT, bound

ACCURACY = 0.80  # of the champion
BOTH = 0.9  # share of predictions on which two models of a project agree
GAINS = (0.01, 0.02, 0.03, 0.05)  # of the challenger
Days = np.ndarray  # [experiments, days] sums of a day
Found = tuple[Days, Days, np.ndarray, np.ndarray]  # differences, their errors, n of the bound, labels of each arm


class Sums(NamedTuple):
    """The sums of one arm, or of the pairs' differences."""

    total: Days
    squares: Days
    n: int  # answers of a day


def daily_sums(values: np.ndarray) -> Sums:
    """values: [experiments, days, n]"""
    return Sums(values.sum(axis=2), (values**2).sum(axis=2), values.shape[2])


def pair_differences(gain: float, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """-> float [*shape]: two models on the same requests: where they differ, the challenger is right more often."""
    differ = 1 - BOTH
    return rng.choice([-1.0, 0.0, 1.0], shape, p=[(differ - gain) / 2, BOTH, (differ + gain) / 2])


def heavy_differences(gain: float, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """-> float [*shape]: squared errors of a regression, the champion's less the challenger's.

    The errors have the tails of Student's t with 6 degrees of freedom.
    """
    common = rng.standard_t(6, shape)
    first, second = (common + 0.5 * rng.standard_t(6, shape) for _ in range(2))
    return first**2 - (1 - gain) * second**2


def paired(draw: Callable[..., np.ndarray], gain: float, experiments: int, days: int, daily: int, seed: int) -> Found:
    sums = daily_sums(draw(gain, (experiments, days, daily), np.random.default_rng(seed)))
    n = sums.n * np.arange(1, days + 1)
    mean, variance = moments(sums, n)
    return mean, np.sqrt(variance / n), n, n


def split(gain: float, experiments: int, days: int, daily: int, seed: int) -> Found:
    """Half of the day's labels each."""
    rng, each = np.random.default_rng(seed), daily // 2
    n = each * np.arange(1, days + 1)
    arms = [
        moments(daily_sums(rng.binomial(1, rate, (experiments, days, each)).astype(float)), n)
        for rate in (ACCURACY, ACCURACY + gain)
    ]
    return arms[1][0] - arms[0][0], np.sqrt((arms[0][1] + arms[1][1]) / n), n / 2, n


def moments(sums: Sums, n: np.ndarray) -> tuple[Days, Days]:
    """-> [experiments, days] each: mean and variance of all labels up to each day; n: their number [days]."""
    mean = sums.total.cumsum(axis=1) / n
    return mean, sums.squares.cumsum(axis=1) / n - mean**2


def verdicts(found: Found, right: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """The day of the first decision, of the sequential and of the daily test, int [experiments]; 0 if there is none.

    right: count only those that find the challenger better
    """
    value, error, n, least = found
    with np.errstate(divide="ignore", invalid="ignore"):
        half, _ = bound(error, n, value, ALPHA, TIGHTEST_AT)
        ours = ((value if right else np.abs(value)) > half) & (least >= MIN_LABELS)
        usual = np.abs(value) > 1.96 * error
    return first(ours), first(usual)


def first(decided: np.ndarray) -> np.ndarray:
    """decided: bool [experiments, days] -> the first day that is, from 1, int [experiments]; 0 if there is none."""
    return np.where(decided.any(axis=1), decided.argmax(axis=1) + 1, 0)


def main() -> int:
    parser = argparse.ArgumentParser("python -m benchmarks.simulations.simulate_ab")
    parser.add_argument("--experiments", type=int, default=2000)
    parser.add_argument("--days", type=int, default=60)
    parser.add_argument("--daily", type=int, default=100, help="labelled answers of a day, of both arms together")
    chosen = parser.parse_args()
    size = (chosen.experiments, chosen.days, chosen.daily)
    kinds: dict[str, Callable[[float, int], Found]] = {
        "pairs, accuracy": lambda gain, seed: paired(pair_differences, gain, *size, seed),
        "pairs, squared errors": lambda gain, seed: paired(heavy_differences, gain, *size, seed),
        "split, accuracy": lambda gain, seed: split(gain, *size, seed),
    }
    print("| nothing to find: said something in | sequential | 5% test, daily |\n| --- | --- | --- |")
    worst = 0.0
    for seed, (name, draw) in enumerate(kinds.items()):
        ours, usual = (float((days > 0).mean()) for days in verdicts(draw(0.0, seed)))
        print(f"| {name} | {ours:.1%} | {usual:.1%} |", flush=True)
        worst = max(worst, ours)
    print("\n| challenger better by | found | median day | 5% test once, at the end |\n| --- | --- | --- | --- |")
    for seed, (name, draw) in enumerate(kinds.items(), 10):
        for gain in GAINS:
            found = draw(gain, seed)
            firsts, _ = verdicts(found, right=True)
            once = float((found[0][:, -1] > 1.96 * found[1][:, -1]).mean())
            day = f"{np.median(firsts[firsts > 0]):.0f}" if firsts.any() else "none"
            print(f"| {name}, {gain:.0%} | {(firsts > 0).mean():.0%} | {day} | {once:.0%} |", flush=True)
    print(f"\n{size[0]:,} experiments of {size[1]} days with {size[2]} labelled answers; {machine.line()}")
    return int(worst > ALPHA + 2 * np.sqrt(ALPHA * (1 - ALPHA) / chosen.experiments))


if __name__ == "__main__":
    sys.exit(main())
