"""Clipping by the norm of all gradients, also where no process has all of them."""

import torch
from torch import nn
from torch.optim import Optimizer

from roadmap.training.lightning import pl
from roadmap.training.strategies.layout import Layout


class ClipGlobalNorm(pl.Callback):
    """Pascanu et al., "On the difficulty of training recurrent neural networks" (2013), algorithm 1.

    Lightning's own clips by the norm of what a process has, and refuses a fused optimizer in mixed precision.
    """

    def __init__(self, limit: float) -> None:
        self.limit = limit

    def on_before_optimizer_step(self, trainer: pl.Trainer, _: pl.LightningModule, optimizer: Optimizer) -> None:
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        if isinstance(trainer.strategy, Layout):
            scale(parameters, (self.limit / (trainer.strategy.parts.norm() + 1e-6)).clamp(max=1.0))
        else:
            nn.utils.clip_grad_norm_(parameters, self.limit)


def scale(parameters: list[nn.Parameter], factor: torch.Tensor) -> None:
    for parameter in parameters:
        if parameter.grad is not None:
            parameter.grad *= factor.to(parameter.grad.dtype)
