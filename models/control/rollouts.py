"""Experience for policy gradients: T steps of n episodes by the present policy, with their advantages.

Lightning takes any iterable as a loader, and asks it anew each epoch. So an epoch is one rollout, read several times in
shuffled minibatches: the policy that acts is the one that the last epoch left.
"""

from collections.abc import Iterator
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from models.control.environment import Environment


class Actor(Protocol):
    """A network that acts."""

    def __call__(self, observations: Tensor) -> tuple[Tensor, Tensor]:
        """observations: [n, ...] -> logits of the actions [n, actions], values [n]"""


class Batch(NamedTuple):
    """m steps, in any order. Log-probabilities and values are those of the policy that acted."""

    observations: Tensor  # [m, ...]
    actions: Tensor  # int [m]
    logprobs: Tensor  # [m]
    values: Tensor  # [m]
    advantages: Tensor  # [m]
    returns: Tensor  # [m]


def advantages(
    rewards: np.ndarray, values: np.ndarray, after: np.ndarray, terminated: np.ndarray, ended: np.ndarray,
    discount: float, trace: float,
) -> np.ndarray:  # fmt: skip
    """Generalised advantage estimation (Schulman et al., "High-Dimensional Continuous Control Using GAE", 2016,
    equations 11, 12 and 16). `trace` 1 gives the return minus the value, 0 the one-step error.

    rewards, values: [T, n]; after: value of the observation after each step, of the last one where an episode ended
    terminated: nothing is to come, bool [T, n]; ended: an episode ended there, by its end or its limit, bool [T, n]
    """
    errors = rewards + discount * np.where(terminated, 0.0, after) - values
    found, onward = np.zeros_like(errors), np.zeros(errors.shape[1], errors.dtype)
    for t in reversed(range(len(errors))):
        onward = errors[t] + discount * trace * np.where(ended[t], 0.0, onward)
        found[t] = onward
    return found


class Rollouts:
    """Minibatches of a rollout, a new one at every iteration.

    Args:
        actor: acts, without gradients.
        steps: T, of each of the environment's n episodes.
        passes, parts: how often a rollout is read, and in how many minibatches each time.
        discount, trace: gamma and lambda.
    """

    def __init__(
        self, environment: Environment, actor: Actor, steps: int, passes: int, parts: int, discount: float,
        trace: float, seed: int,
    ) -> None:  # fmt: skip
        self.environment, self.actor, self.steps = environment, actor, steps
        self.passes, self.parts, self.discount, self.trace = passes, parts, discount, trace
        self.generator = torch.Generator().manual_seed(seed)
        self.now = environment.reset()
        self.length, self.lengths = np.zeros(environment.n, int), list[int]()  # steps of running and of past episodes

    def __len__(self) -> int:
        return self.passes * self.parts

    def __iter__(self) -> Iterator[Batch]:
        whole = self.collect()
        for _ in range(self.passes):
            order = torch.randperm(len(whole.actions), generator=self.generator)
            for part in order.tensor_split(self.parts):
                yield Batch(*(column[part] for column in whole))

    @torch.no_grad()
    def collect(self) -> Batch:
        """One rollout, [T n] steps."""
        columns: list[list[np.ndarray]] = [[] for _ in range(8)]
        for _ in range(self.steps):
            seen = torch.from_numpy(self.now)
            logits, values = self.actor(seen)
            chances = logits.log_softmax(dim=-1)
            actions = torch.multinomial(chances.exp(), 1, generator=self.generator)[:, 0]
            step = self.environment.step(actions.numpy())
            # Of an episode that was cut, what would have come is the value of its last observation.
            after = self.actor(torch.from_numpy(step.final))[1].numpy() if step.ended.any() else None
            logprobs = chances.gather(1, actions[:, None])[:, 0].numpy()
            found = (self.now, actions.numpy(), logprobs, values.numpy(), step.rewards, step.terminated, step.ended)
            for column, value in zip(columns, (*found, after), strict=True):
                column.append(value)  # type: ignore[arg-type]
            self.now = step.observations
            self.length += 1
            self.lengths += self.length[step.ended].tolist()
            self.length[step.ended] = 0
        observations, actions_, logprobs_, values_, rewards, terminated, ended = (np.stack(c) for c in columns[:7])
        last = self.actor(torch.from_numpy(self.now))[1].numpy()
        following = [*values_[1:], last]
        after_ = np.stack([f if a is None else a for a, f in zip(columns[7], following, strict=True)])
        found_ = advantages(rewards.astype(np.float32), values_, after_, terminated, ended, self.discount, self.trace)
        parts = (observations, actions_, logprobs_, values_, found_, found_ + values_)
        return Batch(*(torch.from_numpy(np.ascontiguousarray(part.reshape(-1, *part.shape[2:]))) for part in parts))
