"""Q-learning and SARSA of tabular.py as an agent: trained, checked and served as the networks are."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from models.control.agent import Agent, all_on_the_best
from models.control.environment import Environment
from models.control.experience import Actor, Experience
from models.control.tabular import Learning, Table


class Moves(NamedTuple):
    """One step of n episodes. rewards, terminated: as of a Step; `onward` is the state's and action's value after it:
    by the best action, or by the one that is taken. All [n]."""

    states: Tensor
    actions: Tensor
    rewards: Tensor
    terminated: Tensor
    onward: Tensor


class Walks(Experience):
    """n episodes, epsilon-greedy by a table.

    Args:
        batches: steps of each episode in an epoch.
        on_policy: whether the value of the next state is that of the action that will be taken (SARSA).
    """

    def __init__(
        self, environment: Environment, actor: Actor, table: Table, batches: int, on_policy: bool, seed: int
    ) -> None:
        super().__init__(environment, actor, seed)
        self.table, self.batches, self.on_policy = table, batches, on_policy
        self.rng = np.random.default_rng(seed)
        self.next: np.ndarray | None = None  # actions, where they were chosen already

    def __len__(self) -> int:
        return self.batches

    @property
    def epsilon(self) -> float:
        first, last = self.table.how.epsilon
        return first + (last - first) * min(1.0, self.steps / self.table.how.steps)

    def choose(self, states: np.ndarray) -> np.ndarray:
        return self.table.act(states, self.epsilon, self.rng)

    def __iter__(self) -> Iterator[Moves]:
        for _ in range(self.batches):
            states = self.now.argmax(axis=1)
            actions = self.choose(states) if self.next is None else self.next
            step = self.act(actions)
            final, q = step.final.argmax(axis=1), self.table.q
            after = self.choose(final) if self.on_policy else q[final].argmax(axis=1)
            # Where an episode ended, the next one begins elsewhere, and its first action is chosen there.
            begins = self.choose(self.now.argmax(axis=1)) if self.on_policy and step.ended.any() else after
            self.next = np.where(step.ended, begins, after) if self.on_policy else None
            columns = (states, actions, step.rewards.astype(np.float64), step.terminated, q[final, after])
            yield Moves(*map(torch.from_numpy, columns))

    def state_dict(self) -> dict[str, object]:
        following = None if self.next is None else self.next.tolist()
        return super().state_dict() | {"rng": self.rng.bit_generator.state, "next": following}

    def load_state_dict(self, state: dict[str, object]) -> None:
        super().load_state_dict(state)
        self.rng.bit_generator.state = state["rng"]  # type: ignore[assignment]
        self.next = None if state["next"] is None else np.array(state["next"])


class QTable(Agent):
    """The value of each action in each state. Observations are states as vectors, 1 at the state's number.

    No optimizer: an update changes a few entries, and there is nothing to differentiate.

    Args:
        observations, actions: how many states there are, and how many choices.
        environments: episodes side by side.
        batches: steps of each of them in an epoch.
        discount: gamma.
        explore, least: steps in which the share of random actions falls from 1, and to what.
        power: the n-th update of an entry has the step size n^-power; see `Learning`.
        on_policy: SARSA; else Q-learning.
    """

    def __init__(
        self,
        observations: int,
        actions: int,
        environments: int = 8,
        batches: int = 1_000,
        discount: float = 0.99,
        explore: int = 100_000,
        least: float = 0.1,
        power: float = 0.7,
        on_policy: bool = False,
    ) -> None:
        super().__init__(observations, actions, environments, scale=False)
        self.batches, self.on_policy = batches, on_policy
        self.q = nn.Parameter(torch.zeros(observations, actions, dtype=torch.float64), requires_grad=False)
        self.counts = nn.Parameter(torch.zeros(observations, actions, dtype=torch.float64), requires_grad=False)
        self.table = Table(observations, actions, Learning(discount, explore, (1.0, least), power))
        self.table.q, self.table.counts = self.q.detach().numpy(), self.counts.detach().numpy()  # the same memory

    def forward(self, observations: Tensor) -> tuple[Tensor, Tensor]:
        """[n, states] -> the value of each action [n, actions], of the best one [n]"""
        values = observations @ self.q.to(observations.dtype)
        return values, values.amax(dim=-1)

    def chances(self, preferences: Tensor) -> Tensor:
        return all_on_the_best(preferences)

    def experience_in(self, environment: Environment, batch_size: int, seed: int) -> Walks:
        self.experience = Walks(environment, self, self.table, self.batches, self.on_policy, seed)
        return self.experience

    def training_step(self, batch: Moves, _: int) -> Tensor:
        """The mean squared error of the values before the update."""
        states, actions, rewards, terminated, onward = (column.numpy() for column in batch)
        errors = self.table.learn(states, actions, rewards, terminated, onward)
        return torch.tensor(np.square(errors).mean())

    def backward(self, loss: Tensor, *_: object, **__: object) -> None:
        """The table has learnt already."""

    def configure_optimizers(self) -> None:
        return None
