"""The best that any policy can reach in a world that is known entirely, within the time limit."""

import numpy as np

from pipelines.control.data.environments.worlds import World, cliff_walking, frozen_lake
from roadmap.io.json import JsonObject


def world_of(schema: JsonObject) -> World | None:
    """The tables of the data's environment; None if there are none.

    schema: of the data card
    """
    name, options = schema["environment"], schema["options"]
    if not options and name == "FrozenLake-v1":
        return frozen_lake()
    if not options and name == "CliffWalking-v1":
        return cliff_walking()
    return _of_gymnasium(name, options) if name.startswith(("FrozenLake-", "CliffWalking-", "Taxi-")) else None


def _of_gymnasium(name: str, options: JsonObject) -> World:
    """Gymnasium's toy texts keep the table `P`: state -> action -> [(probability, next state, reward, terminal)]."""
    from pipelines.control.data.environments.adapter import single

    table = single(name, options).get_wrapper_attr("P")
    s, a = len(table), len(table[0])
    probabilities, rewards = np.zeros((2, s, a, s))
    terminal = np.zeros(s, bool)
    for state, actions in table.items():
        for action, ways in actions.items():
            for chance, there, reward, ends in ways:
                # Ways to one place with several rewards: the mean.
                together = probabilities[state, action, there] + chance
                rewards[state, action, there] += (reward - rewards[state, action, there]) * chance / together
                probabilities[state, action, there] = together
                terminal[there] |= ends
    return World(probabilities, rewards, terminal, np.full(s, 1 / s))


def best_possible(world: World, limit: int, tolerance: float = 1e-9) -> np.ndarray:
    """The largest expected return from each state in `limit` steps, not discounted: [s]

    Backward induction (Puterman, "Markov Decision Processes", 1994, section 4.5). No policy that ignores the time left
    does better, and few do as well. models/control/tabular.py has value iteration, which has no limit but a discount.
    """
    values = np.zeros(len(world.terminal))
    gains = (world.probabilities * world.rewards).sum(axis=2)
    gains[world.terminal] = 0.0
    for _ in range(limit):
        onward = world.probabilities @ np.where(world.terminal, 0.0, values)
        onward[world.terminal] = 0.0
        best = (gains + onward).max(axis=1)
        if np.abs(best - values).max() < tolerance:
            break
        values = best
    return values
