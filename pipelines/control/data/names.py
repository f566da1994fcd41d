"""What gymnasium's actions and observations are called; of other environments they have numbers."""

from collections.abc import Mapping

ACTIONS: Mapping[str, tuple[str, ...]] = {
    "CartPole-v1": ("left", "right"),
    "Acrobot-v1": ("left", "none", "right"),
    "MountainCar-v0": ("left", "none", "right"),
    "LunarLander-v3": ("none", "left engine", "main engine", "right engine"),
    "FrozenLake-v1": ("left", "down", "right", "up"),
    "CliffWalking-v1": ("up", "right", "down", "left"),
    "Taxi-v4": ("down", "up", "right", "left", "pick up", "drop off"),
}
OBSERVATIONS: Mapping[str, tuple[str, ...]] = {
    "CartPole-v1": ("position", "speed", "angle", "turn"),
    "Acrobot-v1": ("cos 1", "sin 1", "cos 2", "sin 2", "turn 1", "turn 2"),
    "MountainCar-v0": ("position", "speed"),
    "LunarLander-v3": ("x", "y", "speed x", "speed y", "angle", "turn", "left leg", "right leg"),
}


def named(known: Mapping[str, tuple[str, ...]], environment: str, count: int, word: str) -> list[str]:
    """`count` names: those known of the environment, or numbers behind a word."""
    found = known.get(environment, ())
    return list(found) if len(found) == count else [f"{word} {number}" for number in range(count)]
