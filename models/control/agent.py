"""What every agent is: a network that acts, that makes the experience it learns from, and is judged by playing."""

from abc import abstractmethod

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, one_hot

from models.control.environment import Environment
from models.control.experience import Experience
from models.control.networks import Normaliser
from models.graph import Graph


class Agent(pl.LightningModule):
    """
    Args:
        observations, actions: how many numbers come in, and how many choices there are.
        environments: how many episodes it wants side by side.
        scale: whether observations are brought to one scale.
    """

    largest_norm: float | None = None  # of the gradient, `clip` in `train:`; for those that step by themselves

    def __init__(self, observations: int, actions: int, environments: int, scale: bool) -> None:
        super().__init__()
        self.observations, self.actions, self.environments = observations, actions, environments
        self.normaliser = Normaliser(observations) if scale else None
        self.experience: Experience | None = None  # what it learns from at present

    @abstractmethod
    def forward(self, observations: Tensor) -> tuple[Tensor, Tensor]:
        """[n, observations] -> one number for each action, the best one's the largest, [n, actions]; values [n]"""

    @abstractmethod
    def experience_in(self, environment: Environment, batch_size: int, seed: int) -> Experience:
        """What it learns from."""

    def chances(self, preferences: Tensor) -> Tensor:
        """Of the actions, as it acts when it has learnt. preferences: from `forward` -> [n, actions]"""
        return preferences.softmax(dim=-1)

    def scaled(self, observations: Tensor) -> Tensor:
        return self.normaliser(observations) if self.normaliser else observations

    def note(self, observations: Tensor) -> None:
        if self.normaliser:
            self.normaliser.note(observations)

    def renew(self) -> None:
        if self.normaliser:
            self.normaliser.renew()

    def validation_step(self, batch: tuple[Tensor, ...], _: int) -> None:
        """batch: returns of whole episodes that it played, greedily, from starts that training never begins in: [m].

        `val_loss` is their mean, negated. `return` is of the episodes of training, whose actions are drawn: those of
        the last epoch.
        """
        returns = batch[0].float()
        self.log_dict({"val_return": returns.mean(), "val_loss": -returns.mean()}, batch_size=len(returns))
        if self.experience:
            self.log("steps", float(self.experience.steps), batch_size=1)
            if (found := self.experience.mean_return()) is not None:
                self.log("return", found, batch_size=1)

    def falling(self, optimizer: torch.optim.Optimizer) -> OptimizerLRSchedulerConfig:
        """Its learning rate falls to 0 linearly, by steps: by the clock, a busy machine would learn something else."""
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: max(0.0, 1 - step / steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def graphs(self, example: tuple[Tensor, ...]) -> dict[str, Graph]:
        """model.onnx: observations [n, observations] -> probabilities [n, actions], values [n]"""
        inputs = {"observations": example[0]}
        dynamic = {"observations": {0: "batch"}}
        return {"model.onnx": Graph(Policy(self), inputs, ("probabilities", "values"), dynamic)}


class Policy(nn.Module):
    """An agent as it is served."""

    def __init__(self, agent: Agent) -> None:
        super().__init__()
        self.agent = agent

    def forward(self, observations: Tensor) -> tuple[Tensor, Tensor]:
        preferences, values = self.agent(observations)
        return self.agent.chances(preferences), values


def all_on_the_best(values: Tensor) -> Tensor:
    """Chances of actions whose values are known: their differences are in units of the reward, and no probabilities.

    [n, actions] -> [n, actions]
    """
    return one_hot(values.argmax(dim=-1), values.shape[-1]).to(values.dtype)


def log_chances(logits: Tensor, actions: Tensor) -> Tensor:
    """The log-probability of each action taken. logits: [m, actions]; actions: int [m] -> [m]"""
    return -cross_entropy(logits, actions, reduction="none")


def entropy(logits: Tensor) -> Tensor:
    """Of each distribution: [m, actions] -> [m]"""
    chances = logits.log_softmax(dim=-1)
    return -(chances.exp() * chances).sum(dim=-1)
