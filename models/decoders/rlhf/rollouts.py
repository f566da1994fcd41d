"""What a policy learns from: it writes, is rewarded, and writes again when it has learnt from that.

As a loader with a length, so that Lightning fetches no batch ahead: it would be by a policy one step older.
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from models.decoders.rlhf.texts import write

if TYPE_CHECKING:
    from models.decoders.rlhf.policy import Policy

Examples = tuple[Tensor, ...]  # [m, ...] each
Score = Callable[[Tensor], Tensor]  # rewards of texts: int [n, p + t] -> [n]


class Rollouts:
    """Minibatches of one epoch. Seed and epoch decide what is drawn, so that a resumed training ends as any other.

    Args:
        prompts: int [m, p]
        batch_size: of a minibatch.
    """

    def __init__(self, policy: "Policy", prompts: Tensor, score: Score, batch_size: int, seed: int) -> None:
        self.policy, self.prompts, self.score = policy, prompts, score
        self.batch_size, self.seed = batch_size, seed

    def __len__(self) -> int:
        return self.policy.rollouts * self.policy.passes * -(-self.policy.rows // self.batch_size)

    def __iter__(self) -> Iterator[Examples]:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.policy.current_epoch)
        for _ in range(self.policy.rollouts):
            examples = self.rollout(generator)
            for _ in range(self.policy.passes):
                for rows in torch.randperm(len(examples[0]), generator=generator).split(self.batch_size):
                    yield tuple(part[rows] for part in examples)

    @torch.no_grad()
    def rollout(self, generator: torch.Generator) -> Examples:
        policy = self.policy
        chosen = torch.randint(len(self.prompts), (policy.samples // policy.group,), generator=generator)
        prompts = self.prompts[chosen].repeat_interleave(policy.group, dim=0).to(policy.device)
        tokens, mask = write(policy.writer, prompts, policy.new, policy.end, generator)
        return policy.examples(tokens, mask, self.score(tokens))
