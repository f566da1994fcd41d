"""Control in finite worlds: value iteration, Q-learning and SARSA.

Equations and algorithms are those of Sutton and Barto, "Reinforcement Learning: An Introduction", second edition, 2018.

Shapes: s states, a actions; q, the value of each action in each state: [s, a].
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from models.control.environment import Environment, Step, World


def backup(world: World, values: np.ndarray, discount: float) -> np.ndarray:
    """The expected return of each action, if the next state is worth its value: [s] -> [s, a]"""
    onward = discount * np.where(world.terminal, 0.0, values)
    expected: np.ndarray = (world.probabilities * (world.rewards + onward)).sum(axis=2)
    return np.where(world.terminal[:, None], 0.0, expected)


def value_iteration(world: World, discount: float, tolerance: float = 1e-12) -> np.ndarray:
    """The best policy's q, [s, a]: the fixed point of Bellman's optimality equation (4.1), by (4.10)."""
    values = np.zeros(len(world.terminal))
    while True:
        q = backup(world, values, discount)
        best = q.max(axis=1)
        if np.abs(best - values).max() < tolerance:
            return q
        values = best


def value_of(world: World, policy: np.ndarray, discount: float) -> np.ndarray:
    """Each state's value under a policy, exactly: Bellman's equation (4.4) as a linear system.

    policy: probability of each action, [s, a] -> [s]

    Raises:
        numpy.linalg.LinAlgError: discount is 1, and from some state the policy never ends.
    """
    alive = ~world.terminal
    moves = np.einsum("sa,sat->st", policy, world.probabilities)[alive]
    rewards = np.einsum("sa,sat,sat->s", policy, world.probabilities, world.rewards)[alive]
    values = np.zeros(len(alive))
    values[alive] = np.linalg.solve(np.eye(alive.sum()) - discount * moves[:, alive], rewards)
    return values


def greedy(q: np.ndarray, epsilon: float = 0.0) -> np.ndarray:
    """The epsilon-greedy policy of q (section 5.4); of equal actions the first. -> probabilities [s, a]"""
    policy = np.full(q.shape, epsilon / q.shape[1])
    policy[np.arange(len(q)), q.argmax(axis=1)] += 1 - epsilon
    return policy


@dataclass(frozen=True)
class Learning:
    """
    Args:
        discount: gamma.
        steps: of all episodes together.
        epsilon: share of random actions, from the first step to the last, linearly.
        power: the n-th update of an entry has the step size n^-power. Between 1/2 and 1 it averages the chances of the
            world (Even-Dar and Mansour, "Learning Rates for Q-learning", 2003); 0 is for worlds without any.
    """

    discount: float
    steps: int
    epsilon: tuple[float, float] = (1.0, 0.1)
    power: float = 0.7

    def epsilons(self, n: int) -> Iterator[float]:
        """Of each step of n episodes."""
        first, last = self.epsilon
        rounds = -(-self.steps // n)
        return (first + (last - first) * i / max(1, rounds - 1) for i in range(rounds))


class Table:
    """q, and how often each entry was updated."""

    def __init__(self, states: int, actions: int, how: Learning) -> None:
        self.q, self.counts, self.how = np.zeros((states, actions)), np.zeros((states, actions)), how

    def act(self, states: np.ndarray, epsilon: float, rng: np.random.Generator) -> np.ndarray:
        """Epsilon-greedy, ties broken by chance. states: int [n] -> int [n]"""
        q = self.q[states]
        ties = np.where(q == q.max(axis=1, keepdims=True), rng.random(q.shape), -1.0)
        wild = rng.random(len(states)) < epsilon
        return np.where(wild, rng.integers(q.shape[1], size=len(states)), ties.argmax(axis=1))

    def update(self, states: np.ndarray, actions: np.ndarray, step: Step, onward: np.ndarray) -> None:
        self.learn(states, actions, step.rewards, step.terminated, onward)

    def learn(
        self, states: np.ndarray, actions: np.ndarray, rewards: np.ndarray, terminated: np.ndarray, onward: np.ndarray
    ) -> np.ndarray:
        """q(s, a) += alpha (r + gamma onward - q(s, a)); returns the errors in brackets.

        onward: value of the next state; all [n]
        """
        targets = rewards + self.how.discount * np.where(terminated, 0.0, onward)
        errors = np.zeros(len(states))
        for row, entry in enumerate(zip(states, actions, strict=True)):  # an entry may come twice
            self.counts[entry] += 1
            errors[row] = targets[row] - self.q[entry]
            self.q[entry] += self.counts[entry] ** -self.how.power * errors[row]
        return errors


def q_learning(environment: Environment, states: int, how: Learning, seed: int) -> np.ndarray:
    """Off-policy: the target is the best next action, whatever is done next (section 6.5, equation 6.8). -> q"""
    rng, table = np.random.default_rng(seed), Table(states, environment.actions, how)
    now = environment.reset()
    for epsilon in how.epsilons(environment.n):
        actions = table.act(now, epsilon, rng)
        step = environment.step(actions)
        table.update(now, actions, step, table.q[step.final].max(axis=1))
        now = step.observations
    return table.q


def sarsa(environment: Environment, states: int, how: Learning, seed: int) -> np.ndarray:
    """On-policy: the target is the next action as it will be taken (section 6.4, equation 6.7). -> q"""
    rng, table = np.random.default_rng(seed), Table(states, environment.actions, how)
    now = environment.reset()
    actions = table.act(now, how.epsilon[0], rng)
    for epsilon in how.epsilons(environment.n):
        step = environment.step(actions)
        after = table.act(step.final, epsilon, rng)
        table.update(now, actions, step, table.q[step.final, after])
        first = table.act(step.observations, epsilon, rng)
        now, actions = step.observations, np.where(step.ended, first, after)
    return table.q
