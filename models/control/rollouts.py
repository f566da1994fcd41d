"""Experience for policy gradients: T steps of n episodes by the present policy, with their advantages."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from models.control.environment import Environment, Step
from models.control.experience import Actor, Experience
from models.control.networks import Moments
from models.control.shaping import POTENTIALS, shaped


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


class RewardScale:
    """Rewards divided by the deviation of the discounted sums so far, within +-10 (Engstrom et al., "Implementation
    Matters in Deep Policy Gradients", 2020, algorithm 1; Huang et al., 2022, details 7 and 8 of continuous actions)."""

    def __init__(self, n: int, discount: float) -> None:
        self.discount, self.sums, self.moments = discount, np.zeros(n), Moments(1)

    def __call__(self, rewards: np.ndarray, ended: np.ndarray) -> np.ndarray:
        """rewards, ended: [n] -> [n]"""
        self.sums = self.sums * self.discount + rewards
        self.moments.add_rows(torch.from_numpy(self.sums[:, None]))
        self.sums[ended] = 0
        scaled: np.ndarray = rewards / np.sqrt(float(self.moments.variance) + 1e-8)
        return scaled.clip(-10, 10)

    def state_dict(self) -> dict[str, Any]:
        return {"sums": self.sums.tolist(), "moments": dict(self.moments.state_dict())}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.sums = np.array(state["sums"])
        self.moments.load_state_dict(state["moments"])


@dataclass(frozen=True)
class Plan:
    """
    Args:
        steps: T, of each of the environment's n episodes.
        passes: how often a rollout is read.
        batch: steps of a minibatch, about: minibatches are of equal size. None for all of a rollout.
        rollouts: of an epoch.
        discount, trace: gamma and lambda.
        scale: whether rewards are brought to one scale.
        shaping: a potential of shaping.py.
    """

    steps: int
    discount: float
    trace: float
    passes: int = 1
    batch: int | None = None
    rollouts: int = 1
    scale: bool = False
    shaping: str | None = None

    def of(self, batch: int) -> "Plan":
        """The same, in minibatches."""
        return replace(self, batch=batch)


class Rollouts(Experience):
    """One rollout after another."""

    def __init__(self, environment: Environment, actor: Actor, plan: Plan, seed: int) -> None:
        super().__init__(environment, actor, seed)
        self.plan = plan
        self.parts = max(1, round(plan.steps * environment.n / plan.batch)) if plan.batch else 1
        self.scale = RewardScale(environment.n, plan.discount) if plan.scale else None

    def __len__(self) -> int:
        return self.plan.rollouts

    def __iter__(self) -> Iterator[Batch]:
        for _ in range(self.plan.rollouts):
            yield self.collect()

    def minibatches(self, rollout: Batch) -> Iterator[Batch]:
        """All of it in each pass, shuffled."""
        for _ in range(self.plan.passes):
            order = torch.randperm(len(rollout.actions), generator=self.generator)
            for part in order.tensor_split(self.parts):
                yield Batch(*(column[part] for column in rollout))

    def collect(self) -> Batch:
        """One rollout, [T n] steps."""
        self.actor.renew()
        columns: list[tuple[np.ndarray, ...]] = []
        after: list[np.ndarray | None] = []
        for _ in range(self.plan.steps):
            seen = self.now
            logits, values = self.look(seen)
            chances = logits.log_softmax(dim=-1)
            actions = self.sample(chances.exp())
            step = self.act(actions)
            # Of an episode that was cut, what would have come is the value of its last observation.
            after.append(self.look(step.final)[1].numpy() if step.ended.any() else None)
            logprobs = np.take_along_axis(chances.numpy(), actions[:, None], 1)[:, 0]
            rewards = self.shaped(seen, step)
            rewards = self.scale(rewards, step.ended) if self.scale else rewards
            columns.append((seen, actions, logprobs, values.numpy(), rewards, step.terminated, step.ended))
        observations, actions, logprobs, values_, rewards, terminated, ended = map(np.stack, zip(*columns, strict=True))
        following = [*values_[1:], self.look(self.now)[1].numpy()]
        onward = np.stack([f if a is None else a for a, f in zip(after, following, strict=True)])
        plan = self.plan
        found = advantages(rewards.astype(np.float32), values_, onward, terminated, ended, plan.discount, plan.trace)
        self.actor.note(torch.from_numpy(observations.reshape(-1, *observations.shape[2:])).to(self.actor.device))
        return flat(observations, actions, logprobs, values_, found, found + values_)

    def shaped(self, seen: np.ndarray, step: Step) -> np.ndarray:
        if self.plan.shaping is None:
            return step.rewards
        potential = POTENTIALS[self.plan.shaping]
        return shaped(step.rewards, potential(seen), potential(step.final), step.terminated, self.plan.discount)

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | ({"scale": self.scale.state_dict()} if self.scale else {})

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        if self.scale:
            self.scale.load_state_dict(state["scale"])


def flat(*columns: np.ndarray) -> Batch:
    """[T, n, ...] each -> [T n, ...]"""
    return Batch(*(torch.from_numpy(np.ascontiguousarray(part.reshape(-1, *part.shape[2:]))) for part in columns))
