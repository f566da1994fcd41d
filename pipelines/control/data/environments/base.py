"""What an environment is, and its states as vectors."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np

Options: TypeAlias = Mapping[str, bool | int | float | str]


class Step(NamedTuple):
    """What follows an action of each episode. An episode that ended has been followed by the next one already: without
    its last observation, what would have come after a time limit could not be estimated.

    observations  to act upon next, [n, ...]: where an episode ended, the first of the next one
    rewards       [n]
    terminated    bool [n]: it ended, and nothing is to come
    truncated     bool [n]: it was cut by the time limit, though more would have come
    final         [n, ...]: as observations, but the last one where an episode ended
    """

    observations: np.ndarray
    rewards: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    final: np.ndarray

    @property
    def ended(self) -> np.ndarray:
        """bool [n]"""
        return self.terminated | self.truncated


class Environment(Protocol):
    """Discrete actions 0 to actions - 1; observations float32 [n, size], or numbers of states, int64 [n].

    states  how many, if observations are numbers of states; else None
    """

    @property
    def n(self) -> int: ...
    @property
    def actions(self) -> int: ...
    @property
    def size(self) -> int: ...
    @property
    def states(self) -> int | None: ...
    @property
    def limit(self) -> int: ...

    def reset(self, seeds: Sequence[int] | None = None) -> np.ndarray:
        """Begins n episodes; their first observations. With seeds, [n], the same ones each time."""

    def step(self, actions: np.ndarray) -> Step:
        """actions: int [n]"""

    def state_dict(self) -> dict[str, Any]:
        """All that the future depends on, as numbers, lists, strings and tensors."""

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class OneHot:
    """States as vectors, for networks: observations are float32 [n, states], 1 at the state's number."""

    states = None

    def __init__(self, inner: Environment) -> None:
        assert inner.states is not None
        self.inner, self.n, self.actions, self.size, self.limit = (
            inner, inner.n, inner.actions, inner.states, inner.limit
        )  # fmt: skip

    def vectors(self, states: np.ndarray) -> np.ndarray:
        return np.eye(self.size, dtype=np.float32)[states]

    def reset(self, seeds: Sequence[int] | None = None) -> np.ndarray:
        return self.vectors(self.inner.reset(seeds))

    def step(self, actions: np.ndarray) -> Step:
        step = self.inner.step(actions)
        return step._replace(observations=self.vectors(step.observations), final=self.vectors(step.final))

    def state_dict(self) -> dict[str, Any]:
        return self.inner.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.inner.load_state_dict(state)
