"""PPO: Schulman et al., "Proximal Policy Optimization Algorithms" (2017).

The details are those that Huang et al. list in "The 37 Implementation Details of Proximal Policy Optimization" (2022);
those that matter are arguments.
"""

import math

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn

from models.control.rollouts import Batch


def layer(inputs: int, outputs: int, gain: float) -> nn.Linear:
    """Orthogonal weights (detail 2)."""
    made = nn.Linear(inputs, outputs)
    nn.init.orthogonal_(made.weight, gain)
    nn.init.zeros_(made.bias)
    return made


class PPO(pl.LightningModule):
    """A policy and a value function, each a network of its own (detail 13).

    Args:
        observations, actions: how many numbers come in, and how many choices there are.
        hidden: width of the two hidden layers.
        lr: falls to 0 by steps, linearly (detail 4).
        clip: epsilon of equation 7; None leaves the policy gradient as it is, which is A2C with several passes.
        clip_value: whether the value loss is clipped as well (detail 9).
        normalise: whether advantages of a minibatch have mean 0 and deviation 1 (detail 7).
        entropy, value: c2 and c1 of equation 9.
    """

    def __init__(
        self,
        observations: int,
        actions: int,
        hidden: int = 64,
        lr: float = 2.5e-3,
        clip: float | None = 0.2,
        clip_value: bool = False,
        normalise: bool = True,
        entropy: float = 0.0,
        value: float = 0.5,
    ) -> None:
        super().__init__()
        self.lr, self.clip, self.clip_value, self.normalise = lr, clip, clip_value, normalise
        self.entropy_weight, self.value_weight = entropy, value
        self.policy, self.critic = (
            nn.Sequential(
                layer(observations, hidden, math.sqrt(2)), nn.Tanh(), layer(hidden, hidden, math.sqrt(2)), nn.Tanh(),
                layer(hidden, outputs, gain),
            )
            for outputs, gain in ((actions, 0.01), (1, 1.0))
        )  # fmt: skip

    def forward(self, observations: Tensor) -> tuple[Tensor, Tensor]:
        """[n, observations] -> logits of the actions [n, actions], values [n]"""
        return self.policy(observations), self.critic(observations)[:, 0]

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

    def training_step(self, batch: Batch, _: int) -> Tensor:
        """Equation 9, to be minimised."""
        logits, values = self(batch.observations)
        chances = logits.log_softmax(dim=-1)
        ratio = (chances.gather(1, batch.actions[:, None])[:, 0] - batch.logprobs).exp()
        advantages = batch.advantages
        if self.normalise:
            advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
        entropy = -(chances.exp() * chances).sum(dim=-1).mean()
        policy, value = self.policy_loss(ratio, advantages), self.value_loss(values, batch)
        return policy + self.value_weight * value - self.entropy_weight * entropy

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        optimizer = torch.optim.Adam(self.parameters(), self.lr, eps=1e-5, fused=True)  # detail 3
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: max(0.0, 1 - step / steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
