"""DPO: Rafailov et al., "Direct Preference Optimization: Your Language Model is Secretly a Reward Model" (2023)."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from models.decoders.language_model import LanguageModel
from models.decoders.rlhf.policy import Examples, Policy
from models.decoders.rlhf.texts import logprobs


class DPO(Policy):
    """Learns from pairs that the reference wrote, the better one by its reward; the policy itself need not write.

    Args:
        shared: of Policy. `group` is 2, a pair.
    """

    def __init__(self, **shared: Any) -> None:
        super().__init__(**shared)

    @property
    def writer(self) -> LanguageModel:
        return self.reference

    @property
    def rows(self) -> int:
        return self.samples // 2

    def examples(self, tokens: Tensor, mask: Tensor, rewards: Tensor) -> Examples:
        """Pairs, the preferred one first: tokens [m, 2, p + t], mask [m, 2, t], log-probabilities [m, 2]."""
        reference = (logprobs(self.reference, tokens, self.new) * mask).sum(dim=1)
        order = rewards.view(-1, 2).argsort(dim=1, descending=True)
        rows = order + 2 * torch.arange(len(order), device=order.device)[:, None]
        return tokens[rows], mask[rows], reference[rows]

    def training_step(self, batch: tuple[Tensor, ...], _: int) -> Tensor:
        tokens, mask, reference = batch
        now = (logprobs(self.model, tokens.flatten(0, 1), self.new) * mask.flatten(0, 1)).sum(dim=1)
        return loss(now.view_as(reference), reference, self.beta).mean()


def loss(policy: Tensor, reference: Tensor, beta: float) -> Tensor:
    """Equation 7. policy, reference: log-probabilities of the preferred and the other text, [m, 2] -> [m]"""
    rewards = beta * (policy - reference)
    return -F.logsigmoid(rewards[:, 0] - rewards[:, 1])
