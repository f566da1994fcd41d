"""REINFORCE: Williams, "Simple Statistical Gradient-Following Algorithms for Connectionist Reinforcement Learning"
(1992).

Equations are those of Sutton and Barto, "Reinforcement Learning: An Introduction", second edition, 2018, chapter 13.
"""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from models.control.agent import Agent, log_chances
from models.control.environment import Environment
from models.control.experience import Actor, Experience
from models.control.networks import tanh_layers
from models.control.rollouts import Batch, advantages


class WholeEpisodes(Experience):
    """A batch is one episode of each of n, from its start to its end: a return has to be known before it teaches.

    Episodes that ended early wait for the longest one. Stopping at a number of steps, or taking the first n episodes
    that end, would prefer short ones.
    """

    def __init__(self, environment: Environment, actor: Actor, discount: float, batches: int, seed: int) -> None:
        super().__init__(environment, actor, seed)
        self.discount, self.batches = discount, batches

    def __len__(self) -> int:
        return self.batches

    def __iter__(self) -> Iterator[Batch]:
        for _ in range(self.batches):
            yield self.collect()

    def collect(self) -> Batch:
        self.actor.renew()
        self.now, self.running = self.environment.reset(), np.zeros(self.environment.n)
        alive, columns = np.ones(self.environment.n, bool), list[tuple[np.ndarray, ...]]()
        while alive.any():
            seen, before = self.now, alive
            logits, values = self.look(seen)
            chances = logits.log_softmax(dim=-1)
            actions = self.sample(chances.exp())
            step = self.environment.step(actions)
            self.now, self.running = step.observations, self.running + step.rewards * alive
            alive = alive & ~step.ended
            logprobs = np.take_along_axis(chances.numpy(), actions[:, None], 1)[:, 0]
            columns.append((seen, actions, logprobs, values.numpy(), step.rewards, step.ended, before))
            self.steps += int(before.sum())
        self.finished += self.running.tolist()
        observations, actions, logprobs, values_, rewards, ended, lived = map(np.stack, zip(*columns, strict=True))
        # G_t, (3.8): advantages of a value that is 0. What comes after the time limit is not known, and counts as 0.
        nothing = np.zeros_like(values_)
        returns = advantages(rewards.astype(np.float32), nothing, nothing, ended, ended, self.discount, trace=1.0)
        parts = (observations, actions, logprobs, values_, returns - values_, returns)
        batch = Batch(*(torch.from_numpy(part[lived]) for part in parts))
        self.actor.note(batch.observations.to(self.actor.device))
        return batch


class REINFORCE(Agent):
    """The policy gradient by whole episodes.

    Args:
        observations, actions: how many numbers come in, and how many choices there are.
        environments: episodes of a step of the optimizer.
        batches: such steps of an epoch.
        discount: gamma.
        baseline: whether a value function is learnt, and what it expects subtracted (section 13.4). The gradient has
            the same mean, and a smaller variance.
        hidden: width of the two hidden layers.
        lr: of Adam.
    """

    def __init__(
        self,
        observations: int,
        actions: int,
        environments: int = 8,
        batches: int = 10,
        discount: float = 0.99,
        baseline: bool = True,
        hidden: int = 64,
        lr: float = 5e-3,
        scale: bool = False,
    ) -> None:
        super().__init__(observations, actions, environments, scale)
        self.batches, self.discount, self.lr = batches, discount, lr
        self.policy = tanh_layers(observations, hidden, actions, 0.01)
        self.critic = tanh_layers(observations, hidden, 1, 1.0) if baseline else None

    def forward(self, observations: Tensor) -> tuple[Tensor, Tensor]:
        """[n, observations] -> logits of the actions [n, actions], values [n]: without a baseline 0"""
        scaled = self.scaled(observations)
        logits = self.policy(scaled)
        return logits, self.critic(scaled)[:, 0] if self.critic else 0.0 * logits[:, 0]

    def experience_in(self, environment: Environment, batch_size: int, seed: int) -> WholeEpisodes:
        self.experience = WholeEpisodes(environment, self, self.discount, self.batches, seed)
        return self.experience

    def training_step(self, batch: Batch, _: int) -> Tensor:
        """(13.8), or with a baseline (13.11): (G - v(s)) grad ln pi(a|s). Without gamma^t, as everybody does: with it,
        late steps would hardly count."""
        logits, values = self(batch.observations)
        logprobs = log_chances(logits, batch.actions)
        policy = -(logprobs * batch.advantages).mean()
        return policy + 0.5 * (batch.returns - values).square().mean() if self.critic else policy

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), self.lr)
