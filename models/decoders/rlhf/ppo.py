"""PPO on a language model: Stiennon et al., "Learning to Summarize from Human Feedback" (2020), section 3.4.

Ouyang et al., "Training Language Models to Follow Instructions with Human Feedback" (2022), section 3.5 and appendix
C.4, do the same. PPO itself: Schulman et al., "Proximal Policy Optimization Algorithms" (2017).
"""

import copy
from typing import Any

import torch
from torch import Tensor

from models.decoders.rlhf.policy import Examples, Policy
from models.decoders.rlhf.texts import logprobs


class PPO(Policy):
    """The value function is a network of its own, which begins as the reward model (Stiennon, section 3.4).

    Args:
        clip: epsilon of Schulman's equation 7; of the values too.
        trace: lambda of generalised advantages; nothing is discounted (Ouyang, appendix C.4).
        value: weight of the value's loss (Schulman, equation 9: c1).
        shared: of Policy.
    """

    def __init__(self, *, clip: float, trace: float, value: float, **shared: Any) -> None:
        super().__init__(**shared)
        self.clip, self.trace, self.value = clip, trace, value
        self.critic = copy.deepcopy(self.reward_model).requires_grad_(True)

    def values(self, tokens: Tensor) -> Tensor:
        """What is still to come before each of the last t tokens. int [n, p + t] -> [n, t]"""
        return self.critic.values(tokens[:, :-1])[:, -self.new :]

    def examples(self, tokens: Tensor, mask: Tensor, rewards: Tensor) -> Examples:
        """Tokens and mask; of each token its log-probability, value, advantage and return: [n, t]."""
        old, reference = (logprobs(model, tokens, self.new) for model in (self.model, self.reference))
        # R(x, y) = r(x, y) - beta log(pi(y|x) / reference(y|x)): the penalty by token, the reward with the last one.
        each = -self.beta * (old - reference)
        each[torch.arange(len(each)), mask.sum(dim=1) - 1] += rewards
        values = self.values(tokens)
        found = advantages(each * mask, values * mask, mask, self.trace)
        returns = found + values
        some = found[mask]
        return tokens, mask, old, values, (found - some.mean()) / (some.std() + 1e-8), returns

    def training_step(self, batch: tuple[Tensor, ...], _: int) -> Tensor:
        """Schulman's equation 9 without the entropy, to be minimised; a mean over tokens."""
        tokens, mask, old, before, advantages, returns = batch
        policy = policy_loss((logprobs(self.model, tokens, self.new) - old).exp(), advantages, self.clip)
        values = self.values(tokens)
        near = before + (values - before).clamp(-self.clip, self.clip)
        value = torch.maximum((values - returns).square(), (near - returns).square()) / 2
        return ((policy + self.value * value) * mask).sum() / mask.sum()


def policy_loss(ratio: Tensor, advantages: Tensor, clip: float) -> Tensor:
    """L^CLIP of each token, Schulman's equation 7, to be minimised. ratio: new probability by the old one"""
    return -torch.minimum(ratio * advantages, ratio.clamp(1 - clip, 1 + clip) * advantages)


def advantages(rewards: Tensor, values: Tensor, mask: Tensor, trace: float) -> Tensor:
    """Schulman's equation 11 without a discount. rewards, values: [n, t], 0 where mask is false -> [n, t]"""
    found = torch.zeros_like(rewards)
    after, following = torch.zeros_like(rewards[:, 0]), torch.zeros_like(rewards[:, 0])
    for t in reversed(range(rewards.shape[1])):
        after = (rewards[:, t] + following - values[:, t] + trace * after) * mask[:, t]
        found[:, t], following = after, values[:, t]
    return found
