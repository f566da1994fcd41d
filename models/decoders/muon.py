"""Muon and AdamW as one optimizer."""

from collections.abc import Callable
from typing import Any, overload

import torch
from torch import nn
from torch.optim.optimizer import StateDict

ParameterGroup = dict[str, Any]  # as torch.optim takes them: `params`, and the settings for these


class MuonAdamW(torch.optim.Optimizer):
    """Muon (Jordan, 2024) for the matrices inside the blocks, AdamW for the rest, stepping as one optimizer.

    Muon equalises the singular values of a matrix's step, so that directions with small gradients learn as fast.
    """

    def __init__(self, matrices: list[nn.Parameter], rest: list[ParameterGroup], muon_lr: float, **adamw: Any) -> None:
        self.both = (
            torch.optim.Muon(matrices, lr=muon_lr, weight_decay=0.01, momentum=0.95),
            torch.optim.AdamW(rest, **adamw),
        )
        super().__init__([group for one in self.both for group in one.param_groups], {})
        self._share()

    def _share(self) -> None:
        """The parameter groups of both, so that a schedule reaches them."""
        self.param_groups = [group for one in self.both for group in one.param_groups]

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        loss = closure() if closure else None
        for one in self.both:
            one.step()
        return loss

    def state_dict(self) -> StateDict:
        return {"both": [one.state_dict() for one in self.both]}

    def load_state_dict(self, state: StateDict) -> None:
        for one, part in zip(self.both, state["both"], strict=True):
            one.load_state_dict(part)
        self._share()
