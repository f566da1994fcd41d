"""GRPO: Shao et al., "DeepSeekMath: Pushing the Limits of Mathematical Reasoning in Open Language Models" (2024).

Section 4.1. Texts on one prompt are each other's baseline, so that no value function is learnt.
"""

from typing import Any

import torch
from torch import Tensor

from models.decoders.rlhf.policy import Examples, Policy
from models.decoders.rlhf.texts import k3, logprobs, mean_over


class GRPO(Policy):
    """
    Args:
        clip: epsilon of equation 3.
        shared: of Policy. `group` is G, `passes` is mu of algorithm 1.
    """

    def __init__(self, *, clip: float, **shared: Any) -> None:
        super().__init__(**shared)
        self.clip = clip

    def examples(self, tokens: Tensor, mask: Tensor, rewards: Tensor) -> Examples:
        """Tokens, mask, their log-probabilities under this policy and the reference, and advantages [n]."""
        old, reference = (logprobs(model, tokens, self.new) for model in (self.model, self.reference))
        return tokens, mask, old, reference, advantages(rewards, self.group)

    def training_step(self, batch: tuple[Tensor, ...], _: int) -> Tensor:
        """Equation 3, to be minimised."""
        tokens, mask, old, reference, advantages = batch
        now = logprobs(self.model, tokens, self.new)
        ratio, advantages = (now - old).exp(), advantages[:, None]
        gain = torch.minimum(ratio * advantages, ratio.clamp(1 - self.clip, 1 + self.clip) * advantages)
        return -mean_over(gain - self.beta * k3(reference - now), mask).mean()  # equation 4


def advantages(rewards: Tensor, group: int) -> Tensor:
    """Section 4.1.2: rewards less the mean of their group, by its deviation. rewards: [n] -> [n]"""
    each = rewards.view(-1, group)
    centred = each - each.mean(dim=1, keepdim=True)
    return (centred / (each.std(dim=1, keepdim=True) + 1e-4)).flatten()
