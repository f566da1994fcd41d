"""Grid worlds as tables of probabilities and rewards, and episodes in them.

They are gymnasium's: actions of FrozenLake are left, down, right, up; of CliffWalking up, right, down, left.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipelines.control.data.environments.base import Step

LAKE = ("SFFF", "FHFH", "FFFH", "HFFG")  # FrozenLake's 4x4
CLIFF = ("............",) * 3 + ("SCCCCCCCCCCG",)  # CliffWalking
SHIFTS = {"left": (0, -1), "down": (1, 0), "right": (0, 1), "up": (-1, 0)}


@dataclass(frozen=True)
class World:
    """A Markov decision process that is known entirely (Sutton and Barto, second edition, 2018, section 3.1).

    Args:
        probabilities: of the next state, [s, a, s].
        rewards: by state, action and next state, [s, a, s].
        terminal: bool [s]; nothing is to come after these.
        start: probabilities of the first state, [s].
    """

    probabilities: np.ndarray
    rewards: np.ndarray
    terminal: np.ndarray
    start: np.ndarray


def _moved(place: int, towards: str, rows: int, columns: int) -> int:
    row, column = divmod(place, columns)
    down, right = SHIFTS[towards]
    return int(np.clip(row + down, 0, rows - 1) * columns + np.clip(column + right, 0, columns - 1))


def frozen_lake(rows: tuple[str, ...] = LAKE, slippery: bool = True) -> World:
    """From S to G, around the holes H. On slippery ice two of three moves go to the sides. Reward 1 at G."""
    cells, height, width = "".join(rows), len(rows), len(rows[0])
    s, order = len(cells), ("left", "down", "right", "up")
    terminal = np.array([cell in "GH" for cell in cells])
    probabilities, rewards = np.zeros((2, s, 4, s))
    for state in range(s):
        for action in range(4):
            ways = (action - 1, action, action + 1) if slippery else (action,)
            for way in ways:
                there = state if terminal[state] else _moved(state, order[way % 4], height, width)
                probabilities[state, action, there] += 1 / len(ways)
    goal = cells.index("G")
    rewards[~terminal, :, goal] = 1.0
    start = np.array([float(cell == "S") for cell in cells])
    return World(probabilities, rewards, terminal, start)


def cliff_walking() -> World:
    """Four rows of twelve. Every step costs 1, one over the cliff 100 and back to the start (example 6.6)."""
    height, width, order = 4, 12, ("up", "right", "down", "left")
    s, first, goal = height * width, 36, 47
    terminal = np.arange(s) == goal
    probabilities, rewards = np.zeros((2, s, 4, s))
    for state in range(s):
        for action, towards in enumerate(order):
            there = _moved(state, towards, height, width)
            fell = first < there < goal
            there = first if fell else there
            there = state if terminal[state] else there
            probabilities[state, action, there] = 1.0
            rewards[state, action, there] = 0.0 if terminal[state] else -100.0 if fell else -1.0
    return World(probabilities, rewards, terminal, (np.arange(s) == first).astype(float))


class Episodes:
    """n episodes in a world; observations are numbers of states, int [n].

    Args:
        limit: steps after which an episode is cut.
    """

    def __init__(self, world: World, n: int, seed: int, limit: int) -> None:
        self.world, self.n, self.limit = world, n, limit
        self.states, self.actions, _ = world.probabilities.shape
        self.size = self.states
        self.rng = np.random.default_rng(seed)
        self.sums = world.probabilities.cumsum(axis=2)
        self.now, self.age = np.zeros(n, np.int64), np.zeros(n, np.int64)

    def _starts(self) -> np.ndarray:
        return self.rng.choice(len(self.world.start), size=self.n, p=self.world.start)

    def reset(self, seeds: Sequence[int] | None = None) -> np.ndarray:
        """-> int64 [n]. What follows depends on all the seeds together."""
        if seeds is not None:
            self.rng = np.random.default_rng(list(seeds))
        self.now, self.age = self._starts(), np.zeros(self.n, np.int64)
        return self.now

    def step(self, actions: np.ndarray) -> Step:
        chances = self.rng.random(self.n)[:, None]
        final = (self.sums[self.now, actions] <= chances).sum(axis=1).clip(max=len(self.world.start) - 1)
        rewards = self.world.rewards[self.now, actions, final]
        self.age += 1
        terminated = self.world.terminal[final]
        truncated = ~terminated & (self.age >= self.limit)
        ended = terminated | truncated
        self.now, self.age = np.where(ended, self._starts(), final), np.where(ended, 0, self.age)
        return Step(self.now, rewards, terminated, truncated, final)

    def state_dict(self) -> dict[str, Any]:
        return {"now": self.now.tolist(), "age": self.age.tolist(), "rng": self.rng.bit_generator.state}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.now, self.age = np.array(state["now"]), np.array(state["age"])
        self.rng.bit_generator.state = state["rng"]
