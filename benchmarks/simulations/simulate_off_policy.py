"""Off-policy estimates against the truth: python -m benchmarks.simulations.simulate_off_policy [--logs 200]

FrozenLake, dry (every move goes where it is meant to) or slippery. A policy is served with a share of random actions;
of other policies the log tells what they would have earned. Each log is estimated as `pipelines.control.off_policy`
does, and compared with the exact return, from the world's table of probabilities.

    same      the served policy itself, without the random actions: dry, and slippery
    better    the optimum, where a policy is served that falls into the hole beside the way
    worse     the reverse
    rare      slippery; it chooses otherwise, and better, in one state that few episodes come to: the log cannot say
    far       another way altogether: the log cannot say

Prints bias, root mean squared error and the coverage of 95% intervals by estimator, and how often each verdict is
given. NumPy's generator; 500 bootstrap samples, so that it takes minutes. Exit code 1 if a wrong verdict (better where
worse is true, or the reverse) is given in more than 5% of the logs, significantly.
"""

import argparse
import sys
import time
from collections import Counter
from typing import NamedTuple

import numpy as np

from benchmarks import machine
from pipelines.control.data.environments.worlds import Episodes, World, frozen_lake
from roadmap.experiments import off_policy
from roadmap.experiments.off_policy import Logged, OffPolicy, estimate

VERDICTS, ESTIMATORS = ("better", "open", "worse", "silent"), ("ips", "snips", "dr")
BEST = [1, 2, 1, 0, 1, 0, 1, 0, 2, 1, 1, 0, 0, 2, 2, 0]  # of dry ice: along the holes, in six steps
HOLE = [1, 2, 1, 0, 1, 0, 1, 0, 2, 1, 1, 0, 0, 0, 2, 0]  # the same, but left of the goal it turns back, and falls
SAFE = [0, 3, 3, 3, 0, 0, 0, 0, 3, 1, 0, 0, 0, 2, 1, 0]  # of slippery ice: away from the holes
SLOW = [0, 3, 3, 3, 0, 0, 0, 0, 3, 1, 0, 0, 0, 2, 3, 0]  # the same, but beside the goal it goes up
RIGHT = [2] * 16


class Case(NamedTuple):
    """served, asked: the action in each state; explore: share of random actions of the served one; limit: of steps"""

    slippery: bool
    served: list[int]
    asked: list[int]
    explore: float
    episodes: int
    limit: int = 20


CASES = {
    "same, dry": Case(False, BEST, BEST, 0.3, 500),
    "same, slippery": Case(True, SAFE, SAFE, 0.1, 2000),
    "better": Case(False, HOLE, BEST, 0.3, 3000),
    "worse": Case(False, BEST, HOLE, 0.3, 3000),
    "rare": Case(True, SLOW, SAFE, 0.2, 2000),
    "far": Case(False, BEST, RIGHT, 0.2, 500),
}


def chances(actions: list[int], explore: float) -> np.ndarray:
    """Of each action in each state: [s, a]"""
    return explore / 4 + (1 - explore) * np.eye(4)[actions]


def truth(world: World, policy: np.ndarray, limit: int) -> float:
    """The expected return in `limit` steps. policy: [s, a]"""
    moves = np.einsum("sa,sat->st", policy, world.probabilities)
    gains = np.einsum("sa,sat,sat->s", policy, world.probabilities, world.rewards)
    where, earned = world.start.copy(), 0.0
    for _ in range(limit):
        where = np.where(world.terminal, 0.0, where)
        earned += float(where @ gains)
        where = where @ moves
    return earned


def log_of(world: World, case: Case, seed: int) -> Logged:
    rng, n = np.random.default_rng(seed), case.episodes
    environment, policy, rows = Episodes(world, n, seed, case.limit), chances(case.served, case.explore), []
    now, alive = environment.reset([seed, n]), np.ones(n, bool)
    for step in range(case.limit):
        actions = (policy[now].cumsum(axis=1) > rng.random(n)[:, None]).argmax(axis=1)
        done, who = environment.step(actions), np.flatnonzero(alive)
        rows.append(np.column_stack([who, np.full(len(who), step), now[who], actions[who], done.rewards[who]]))
        now, alive = done.observations, alive & ~done.ended
    whole = np.concatenate(rows)
    whole = whole[np.lexsort((whole[:, 1], whole[:, 0]))]
    states, actions = whole[:, 2].astype(int), whole[:, 3].astype(int)
    return Logged(
        episodes=whole[:, 0].astype(int),
        features=np.eye(16)[states],
        actions=actions,
        rewards=whole[:, 4],
        behaviour=policy[states, actions],
        target=np.eye(4)[np.array(case.asked)[states]],
    )


def row(*cells: object) -> None:
    print("| " + " | ".join(map(str, cells)) + " |", flush=True)


def errors(found: list[OffPolicy], name: str, exact: float) -> str:
    each = [one.estimates[name] for one in found]
    off = np.array([one.value for one in each]) - exact
    inside = np.mean([one.low <= exact <= one.high for one in each])
    return f"{off.mean():+.3f}, {np.sqrt(np.square(off).mean()):.3f}, {inside:.1%}"


def main() -> int:
    parser = argparse.ArgumentParser("python -m benchmarks.simulations.simulate_off_policy")
    parser.add_argument("--logs", type=int, default=200)
    logs = parser.parse_args().logs
    started, wrong = time.process_time(), 0.0
    off_policy.RESAMPLES = 500
    verdicts = []
    row("", "true return, served", "episodes", "effective", *ESTIMATORS)
    row(*["---"] * (4 + len(ESTIMATORS)))
    for number, (name, case) in enumerate(CASES.items()):
        world = frozen_lake(slippery=case.slippery)
        served = truth(world, chances(case.served, case.explore), case.limit)
        exact = truth(world, chances(case.asked, 0.0), case.limit)
        found = [estimate(log_of(world, case, 1000 * number + seed), seed) for seed in range(logs)]
        effective = np.median([one.effective for one in found])
        cells = [errors(found, each, exact) for each in ESTIMATORS]
        row(name, f"{exact:.3f}, {served:.3f}", f"{case.episodes:,}", f"{effective:.0f}", *cells)
        counts = Counter(one.verdict for one in found)
        verdicts.append((name, f"{exact - served:+.3f}", *(f"{counts[each] / logs:.1%}" for each in VERDICTS)))
        wrong = max(wrong, counts["worse" if exact > served else "better"] / logs)
    print()
    row("", "true gain", *VERDICTS)
    row(*["---"] * (2 + len(VERDICTS)))
    for line in verdicts:
        row(*line)
    print(f"\n{logs} logs each: bias, root mean squared error, coverage; {machine.line()}", end="; ")
    print(f"{time.process_time() - started:.0f} CPU-s")
    return int(wrong > 0.05 + 2 * np.sqrt(0.05 * 0.95 / logs))


if __name__ == "__main__":
    sys.exit(main())
