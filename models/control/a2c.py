"""A2C: Mnih et al., "Asynchronous Methods for Deep Reinforcement Learning" (2016), with the actors side by side.

Section numbers and equations are that paper's. Side by side, not asynchronously, they are as good and quicker: Wu et
al., "Scalable Trust-Region Method for Deep Reinforcement Learning ..." (2017), section 5.
"""

import torch
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor

from models.control.agent import Agent, entropy, log_chances
from models.control.environment import Environment
from models.control.networks import tanh_layers
from models.control.rollouts import Batch, Plan, Rollouts


class A2C(Agent):
    """One step of the optimizer per short rollout, which is then thrown away.

    Args:
        observations, actions: how many numbers come in, and how many choices there are.
        environments, steps: n actors, t_max steps of each (algorithm S3). The minibatch is all of them.
        rollouts: of an epoch.
        discount: gamma.
        trace: 1 for the paper's returns of up to t_max steps (section 4); below, generalised advantages.
        hidden: width of the two hidden layers.
        lr: of RMSProp (section 4); it falls to 0 by steps, linearly (section 5.1).
        entropy: beta (section 4).
        value: weight of the value's loss beside the policy's.
    """

    def __init__(
        self,
        observations: int,
        actions: int,
        environments: int = 16,
        steps: int = 5,
        rollouts: int = 64,
        discount: float = 0.99,
        trace: float = 1.0,
        hidden: int = 64,
        lr: float = 2e-3,
        entropy: float = 0.0,
        value: float = 0.25,
        scale: bool = False,
    ) -> None:
        super().__init__(observations, actions, environments, scale)
        self.plan = Plan(steps, discount, trace, rollouts=rollouts, scale=scale)
        self.lr, self.entropy_weight, self.value_weight = lr, entropy, value
        self.policy = tanh_layers(observations, hidden, actions, 0.01)
        self.critic = tanh_layers(observations, hidden, 1, 1.0)

    def forward(self, observations: Tensor) -> tuple[Tensor, Tensor]:
        """[n, observations] -> logits of the actions [n, actions], values [n]"""
        scaled = self.scaled(observations)
        return self.policy(scaled), self.critic(scaled)[:, 0]

    def experience_in(self, environment: Environment, batch_size: int, seed: int) -> Rollouts:
        self.experience = Rollouts(environment, self, self.plan, seed)
        return self.experience

    def training_step(self, batch: Batch, _: int) -> Tensor:
        logits, values = self(batch.observations)
        policy = -(log_chances(logits, batch.actions) * batch.advantages).mean()  # section 4: grad log pi(a|s) A(s, a)
        if self.entropy_weight:
            policy = policy - self.entropy_weight * entropy(logits).mean()  # and beta grad H
        value = (batch.returns - values).square().mean()  # algorithm S3: d (R - V(s))^2
        return policy + self.value_weight * value

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        # Equation S2. An epsilon as large as 1e-5 keeps the first steps small.
        return self.falling(torch.optim.RMSprop(self.parameters(), self.lr, alpha=0.99, eps=1e-5))
