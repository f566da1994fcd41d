"""DQN: Mnih et al., "Human-Level Control through Deep Reinforcement Learning" (2015), and three improvements.

Double: van Hasselt, Guez and Silver, "Deep Reinforcement Learning with Double Q-Learning" (2016). Duelling: Wang et
al., "Dueling Network Architectures for Deep Reinforcement Learning" (2016). Prioritised: Schaul et al., "Prioritized
Experience Replay" (2016).
"""

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import smooth_l1_loss

from models.control.agent import Agent, all_on_the_best
from models.control.environment import Environment
from models.control.experience import Actor, Experience
from models.control.replay import Memory, Transitions


class Replays(Experience):
    """Batches of a memory, which grows in between.

    Args:
        batch: transitions of a batch.
        batches: of an epoch.
        every: steps of each of n episodes between two batches.
        start: transitions before the first batch, by random actions.
        explore: steps in which epsilon falls from 1 to `least`, linearly.
    """

    def __init__(
        self, environment: Environment, actor: Actor, memory: Memory, batch: int, batches: int, every: int, start: int,
        explore: int, least: float, seed: int,
    ) -> None:  # fmt: skip
        super().__init__(environment, actor, seed)
        self.memory, self.batch, self.batches, self.every, self.start = memory, batch, batches, every, start
        self.explore, self.least = explore, least

    def __len__(self) -> int:
        return self.batches

    def __iter__(self) -> Iterator[Transitions]:
        for _ in range(self.batches):
            while len(self.memory) < self.start:
                self.play()
            for _ in range(self.every):
                self.play()
            yield self.memory.draw(self.batch)

    @property
    def epsilon(self) -> float:
        """The share of random actions."""
        past = max(0, self.steps - self.start) / self.explore
        return 1.0 if self.steps < self.start else max(self.least, 1 - (1 - self.least) * past)

    def play(self) -> None:
        """A step of n episodes, epsilon-greedy (algorithm 1)."""
        seen, n = self.now, self.environment.n
        wild = (torch.rand(n, generator=self.generator) < self.epsilon).numpy()
        actions = torch.randint(self.environment.actions, (n,), generator=self.generator).numpy()
        if not wild.all():
            actions = np.where(wild, actions, self.look(seen)[0].argmax(dim=-1).numpy())
        self.memory.add(seen, actions, self.act(actions))

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"memory": self.memory.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.memory.load_state_dict(state["memory"])


class QNetwork(nn.Module):
    """Observations -> the value of each action. Duelling: of the observation, plus what an action is better than the
    mean one by (Wang et al., equation 9)."""

    def __init__(self, observations: int, actions: int, hidden: int, duelling: bool) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(observations, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU())
        self.advantage = nn.Linear(hidden, actions)
        self.value = nn.Linear(hidden, 1) if duelling else None

    def forward(self, observations: Tensor) -> Tensor:
        """[n, observations] -> [n, actions]"""
        found = self.body(observations)
        q: Tensor = self.advantage(found)
        return self.value(found) + q - q.mean(dim=-1, keepdim=True) if self.value else q


class DQN(Agent):
    """Q-learning of a network by a memory, with a second network, held still, for the targets.

    Args:
        observations, actions: how many numbers come in, and how many choices there are.
        environments: episodes side by side.
        batches: of an epoch; their size is in `train:`.
        every: steps of each episode between two batches.
        capacity, start: transitions that are kept, and that are there before the first batch.
        explore, least: steps in which the share of random actions falls from 1, and to what.
        renew: batches between two copies of the network into the second one (C, algorithm 1).
        discount: gamma.
        hidden: width of the two hidden layers.
        lr: of Adam.
        double: the first network chooses the next action, the second one judges it; else the second does both, and
            prefers what it overestimates.
        duelling: a value and advantages, see QNetwork.
        prioritised: transitions by how large their errors were.
    """

    def __init__(
        self,
        observations: int,
        actions: int,
        environments: int = 8,
        batches: int = 500,
        every: int = 1,
        capacity: int = 20_000,
        start: int = 1_000,
        explore: int = 10_000,
        least: float = 0.05,
        renew: int = 100,
        discount: float = 0.99,
        hidden: int = 64,
        lr: float = 1e-3,
        double: bool = False,
        duelling: bool = False,
        prioritised: bool = False,
    ) -> None:
        super().__init__(observations, actions, environments, scale=False)
        self.batches, self.every, self.capacity, self.start = batches, every, capacity, start
        self.explore, self.least, self.renewal, self.discount, self.lr = explore, least, renew, discount, lr
        self.doubled, self.prioritised = double, prioritised
        self.online = QNetwork(observations, actions, hidden, duelling)
        self.target = copy.deepcopy(self.online).requires_grad_(False)
        self.memory: Memory | None = None

    def forward(self, observations: Tensor) -> tuple[Tensor, Tensor]:
        """[n, observations] -> the value of each action [n, actions], of the best one [n]"""
        q = self.online(observations)
        return q, q.amax(dim=-1)

    def chances(self, preferences: Tensor) -> Tensor:
        return all_on_the_best(preferences)

    def experience_in(self, environment: Environment, batch_size: int, seed: int) -> Replays:
        self.memory = Memory(self.capacity, self.observations, self.prioritised, seed)
        self.experience = Replays(
            environment, self, self.memory, batch_size, self.batches, self.every, self.start, self.explore, self.least,
            seed,
        )  # fmt: skip
        return self.experience

    @torch.no_grad()
    def targets(self, batch: Transitions) -> Tensor:
        """r + gamma max Q(s', a; theta-), algorithm 1; double: r + gamma Q(s', argmax Q(s', a; theta); theta-), van
        Hasselt et al., equation 4. Of a transition into the end: r."""
        q = self.target(batch.following)
        best = (self.online(batch.following) if self.doubled else q).argmax(dim=-1, keepdim=True)
        return batch.rewards + self.discount * q.gather(1, best)[:, 0] * ~batch.terminated

    def training_step(self, batch: Transitions, _: int) -> Tensor:
        """The error of one step, clipped to +-1 in the gradient ("Training algorithm")."""
        if self.global_step % self.renewal == 0:
            self.target.load_state_dict(self.online.state_dict())
        values = self.online(batch.observations).gather(1, batch.actions[:, None])[:, 0]
        targets = self.targets(batch)
        losses = smooth_l1_loss(values, targets, reduction="none")
        if not self.prioritised:
            return losses.mean()
        # Lightning's loaders never see a loss: the memory hears of the errors here.
        assert self.memory is not None
        self.memory.prioritise(batch.rows, targets - values)
        beta = 0.4 + 0.6 * self.global_step / self.trainer.estimated_stepping_batches
        weights = batch.chances**-beta  # section 3.4: what is drawn too often counts less
        return (weights / weights.max() * losses).mean()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.online.parameters(), self.lr, fused=True)
