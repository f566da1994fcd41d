"""Whole episodes from given seeds: what a policy is judged by."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from pipelines.control.data.environments import Environment, Step

Act = Callable[[np.ndarray], np.ndarray]  # observations [n, ...] -> actions int [n]


class Moment(NamedTuple):
    """observations, actions: of each episode, [n, ...]; alive: bool [n], whether it was still running before it"""

    observations: np.ndarray
    actions: np.ndarray
    step: Step
    alive: np.ndarray


@dataclass(frozen=True)
class Played:
    """returns, lengths: of each episode, [n]"""

    returns: np.ndarray
    lengths: np.ndarray


def moments(environment: Environment, act: Act, seeds: Sequence[int]) -> Iterator[Moment]:
    """One episode from each seed, step by step until the last one ends."""
    now, alive = environment.reset(seeds), np.ones(environment.n, bool)
    while alive.any():
        actions = act(now)
        step = environment.step(actions)
        yield Moment(now, actions, step, alive)
        alive = alive & ~step.ended
        now = step.observations


def play(environment: Environment, act: Act, seeds: Sequence[int]) -> Played:
    """One episode from each seed, [n]. Same seeds, same starts: policies are compared pair by pair."""
    returns, lengths = np.zeros(environment.n), np.zeros(environment.n, int)
    for moment in moments(environment, act, seeds):
        returns += moment.step.rewards * moment.alive
        lengths += moment.alive
    return Played(returns, lengths)


def visited(environment: Environment, act: Act, seeds: Sequence[int]) -> np.ndarray:
    """The observations of all these episodes, [m, ...]."""
    return np.concatenate([moment.observations[moment.alive] for moment in moments(environment, act, seeds)])
