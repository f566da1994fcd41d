"""Environments, n episodes side by side: our own where that is quicker, any of gymnasium's, and the user's."""

from pipelines.control.data.environments.acrobot import Acrobot
from pipelines.control.data.environments.base import Environment, OneHot, Options, Step
from pipelines.control.data.environments.cartpole import CartPole
from pipelines.control.data.environments.classic import Classic
from pipelines.control.data.environments.mountain_car import MountainCar
from pipelines.control.data.environments.worlds import Episodes, cliff_walking, frozen_lake

__all__ = ["Environment", "OneHot", "Options", "Step", "make"]

LIMIT = 10_000
CLASSIC: dict[str, type[Classic]] = {"CartPole-v1": CartPole, "Acrobot-v1": Acrobot, "MountainCar-v0": MountainCar}


def make(name: str, n: int, seed: int, limit: int = LIMIT, options: Options | None = None) -> Environment:
    """
    Args:
        name: an id of gymnasium's, or your own: `module:name` of a subclass of gymnasium.Env, of a function that
            returns one, or of an id that the module registers; or the entry point `name` in the group
            `roadmap.environments` of an installed package.
        limit: steps after which an episode is cut, unless the environment does so sooner.
        options: keyword arguments of the environment.

    Raises:
        UsageError: there is none, it lacks a package, or it is of a kind that is not supported.
    """
    if not options:
        if name in CLASSIC:
            return CLASSIC[name](n, seed, limit)
        if name == "FrozenLake-v1":
            return Episodes(frozen_lake(), n, seed, min(limit, 100))
        if name == "CliffWalking-v1":
            return Episodes(cliff_walking(), n, seed, limit)
    from pipelines.control.data.environments.adapter import Gymnasium

    return Gymnasium(name, n, seed, limit, options or {})
