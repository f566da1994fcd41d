"""What the algorithms ask of an environment: n episodes side by side, and the next one where one has ended.

These are shapes, not classes: an environment imports nothing from here, so what only acts needs no network.
"""

from typing import Any, Protocol

import numpy as np


class Step(Protocol):
    """What follows an action of each episode.

    observations  to act upon next, [n, ...]: where an episode ended, the first of the next one
    rewards       [n]
    terminated    bool [n]: it ended, and nothing is to come
    truncated     bool [n]: it was cut by the time limit, though more would have come
    final         [n, ...]: as observations, but the last one where an episode ended
    ended         bool [n]: either
    """

    @property
    def observations(self) -> np.ndarray: ...
    @property
    def rewards(self) -> np.ndarray: ...
    @property
    def terminated(self) -> np.ndarray: ...
    @property
    def truncated(self) -> np.ndarray: ...
    @property
    def final(self) -> np.ndarray: ...
    @property
    def ended(self) -> np.ndarray: ...


class Environment(Protocol):
    """Discrete actions 0 to actions - 1."""

    @property
    def n(self) -> int: ...
    @property
    def actions(self) -> int: ...

    def reset(self) -> np.ndarray:
        """Begins n episodes; their first observations, [n, ...]."""

    def step(self, actions: np.ndarray) -> Step:
        """actions: int [n]"""

    def state_dict(self) -> dict[str, Any]:
        """All that the future depends on, as numbers, lists, strings and tensors: a checkpoint can hold it."""

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class World(Protocol):
    """A Markov decision process that is known entirely (Sutton and Barto, section 3.1).

    probabilities  of the next state, [s, a, s]
    rewards        by state, action and next state, [s, a, s]
    terminal       bool [s]; nothing is to come after these
    """

    @property
    def probabilities(self) -> np.ndarray: ...
    @property
    def rewards(self) -> np.ndarray: ...
    @property
    def terminal(self) -> np.ndarray: ...
