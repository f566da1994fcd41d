"""Policies that learn nothing: random, constant, and what a person would write down in a line."""

from collections.abc import Iterator

import numpy as np

from pipelines.control.data.episodes import Act
from roadmap.io.json import JsonObject


def lean(now: np.ndarray) -> np.ndarray:
    """CartPole: push to where the pole leans."""
    pushed: np.ndarray = (now[:, 2] > 0).astype(int)
    return pushed


def lean_and_turn(now: np.ndarray) -> np.ndarray:
    """CartPole: push to where the pole will lean in half a second."""
    pushed: np.ndarray = (now[:, 2] + 0.5 * now[:, 3] > 0).astype(int)
    return pushed


def swing(now: np.ndarray) -> np.ndarray:
    """MountainCar: push to where the car is going, as on a swing."""
    pushed: np.ndarray = np.where(now[:, 1] < 0, 0, 2)
    return pushed


def pump(now: np.ndarray) -> np.ndarray:
    """Acrobot: turn the lower link against the upper one's swing."""
    pushed: np.ndarray = np.where(now[:, 4] > 0, 0, 2)
    return pushed


SCRIPTED: dict[str, dict[str, Act]] = {
    "CartPole-v1": {"push where it leans": lean, "push where it will lean": lean_and_turn},
    "MountainCar-v0": {"push where it rolls": swing},
    "Acrobot-v1": {"pump": pump},
}


def policies(schema: JsonObject, seed: int) -> Iterator[tuple[str, Act]]:
    """schema: of the data card"""
    actions = schema["actions"]
    yield "random", _random(len(actions), seed)
    for number, name in enumerate(actions):
        yield f"always {name}", _always(number)
    yield from SCRIPTED.get(schema["environment"], {}).items()


def _random(actions: int, seed: int) -> Act:
    rng = np.random.default_rng(seed)
    return lambda now: rng.integers(actions, size=len(now))


def _always(action: int) -> Act:
    return lambda now: np.full(len(now), action)
