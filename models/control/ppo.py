"""PPO: Schulman et al., "Proximal Policy Optimization Algorithms" (2017).

The details are those that Huang et al. list in "The 37 Implementation Details of Proximal Policy Optimization" (2022);
those that matter are arguments.
"""

import torch
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from models.control.agent import Agent, entropy, log_chances
from models.control.environment import Environment
from models.control.networks import tanh_layers
from models.control.rollouts import Batch, Plan, Rollouts


class PPO(Agent):
    """A policy and a value function, each a network of its own (detail 13).

    Its steps are its own (`automatic_optimization`): around one of a network this small, Lightning's take half as long
    again. A batch is a rollout, and the learning rate falls from rollout to rollout.

    Args:
        observations, actions: how many numbers come in, and how many choices there are.
        environments, steps: n episodes side by side, T steps of each in a rollout (section 3, figure "Algorithm 1").
        rollouts: of an epoch.
        passes: K, how often a rollout is read, in shuffled minibatches of the size in `train:` (detail 6).
        discount, trace: gamma and lambda of generalised advantages (detail 5). 1 is the return minus the value.
        hidden: width of the two hidden layers.
        lr: of Adam.
        anneal: whether it falls to 0 by steps, linearly (detail 4).
        clip: epsilon of equation 7; None leaves the policy gradient as it is, which is A2C with several passes.
        clip_value: whether the value loss is clipped as well (detail 9).
        normalise: whether advantages of a minibatch have mean 0 and deviation 1 (detail 7).
        entropy, value: c2 and c1 of equation 9 (detail 10).
        orthogonal: initial weights, of gain sqrt(2), 0.01 for the policy's last layer and 1 for the value's (detail 2).
        scale: observations and rewards brought to one scale (details 5 to 8 of continuous actions).
        shaping: a potential of shaping.py, whose differences are added to the rewards.
    """

    def __init__(
        self,
        observations: int,
        actions: int,
        environments: int = 32,
        steps: int = 32,
        rollouts: int = 1,
        passes: int = 4,
        discount: float = 0.98,
        trace: float = 0.9,
        hidden: int = 64,
        lr: float = 2.5e-3,
        anneal: bool = True,
        clip: float | None = 0.2,
        clip_value: bool = False,
        normalise: bool = True,
        entropy: float = 0.0,
        value: float = 0.5,
        orthogonal: bool = True,
        scale: bool = False,
        shaping: str | None = None,
    ) -> None:
        super().__init__(observations, actions, environments, scale)
        self.automatic_optimization = False
        self.plan = Plan(steps, discount, trace, passes, rollouts=rollouts, scale=scale, shaping=shaping)
        self.lr, self.anneal, self.clip, self.clip_value = lr, anneal, clip, clip_value
        self.normalise, self.entropy_weight, self.value_weight = normalise, entropy, value
        self.policy = tanh_layers(observations, hidden, actions, 0.01, orthogonal)
        self.critic = tanh_layers(observations, hidden, 1, 1.0, orthogonal)

    def forward(self, observations: Tensor) -> tuple[Tensor, Tensor]:
        """[n, observations] -> logits of the actions [n, actions], values [n]"""
        scaled = self.scaled(observations)
        return self.policy(scaled), self.critic(scaled)[:, 0]

    def experience_in(self, environment: Environment, batch_size: int, seed: int) -> Rollouts:
        self.experience = Rollouts(environment, self, self.plan.of(batch_size), seed)
        return self.experience

    def policy_loss(self, ratio: Tensor, advantages: Tensor) -> Tensor:
        """L^CLIP, equation 7, to be minimised. ratio: new probability of each action by the old one, [m]"""
        if self.clip is None:
            return -(ratio * advantages).mean()
        clipped = ratio.clamp(1 - self.clip, 1 + self.clip)
        return -torch.minimum(ratio * advantages, clipped * advantages).mean()

    def value_loss(self, values: Tensor, batch: Batch) -> Tensor:
        """L^VF, equation 9, halved."""
        errors = (values - batch.returns).square()
        if self.clip_value and self.clip is not None:
            near = batch.values + (values - batch.values).clamp(-self.clip, self.clip)
            errors = torch.maximum(errors, (near - batch.returns).square())
        return 0.5 * errors.mean()

    def loss(self, batch: Batch) -> Tensor:
        """Equation 9, to be minimised."""
        logits, values = self(batch.observations)
        ratio = (log_chances(logits, batch.actions) - batch.logprobs).exp()
        advantages = batch.advantages
        if self.normalise:
            advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
        found = self.policy_loss(ratio, advantages) + self.value_weight * self.value_loss(values, batch)
        return found - self.entropy_weight * entropy(logits).mean() if self.entropy_weight else found

    def training_step(self, rollout: Batch, _: int) -> Tensor:
        """A step of Adam per minibatch. -> their mean loss"""
        assert isinstance(self.experience, Rollouts)
        optimizer, parameters, losses = self.optimizers(use_pl_optimizer=False), list(self.parameters()), []
        assert isinstance(optimizer, torch.optim.Optimizer)
        for batch in self.experience.minibatches(rollout):
            loss = self.loss(batch)
            optimizer.zero_grad()
            loss.backward()
            if self.largest_norm:
                nn.utils.clip_grad_norm_(parameters, self.largest_norm)  # detail 11
            optimizer.step()
            losses.append(loss.detach())
        if isinstance(schedule := self.lr_schedulers(), LambdaLR):
            schedule.step()
        return torch.stack(losses).mean()

    def configure_optimizers(self) -> torch.optim.Optimizer | OptimizerLRSchedulerConfig:
        optimizer = torch.optim.Adam(self.parameters(), self.lr, eps=1e-5, fused=True)  # detail 3
        return self.falling(optimizer) if self.anneal else optimizer
