"""What all methods do with texts: write them, and weigh them under a model.

Shapes: n texts of p tokens of a prompt and t new ones. A text may end before its t tokens, with the token `end`.
"""

import torch
from torch import Tensor

from models.decoders.language_model import LanguageModel


@torch.no_grad()
def write(
    model: LanguageModel, prompts: Tensor, new: int, end: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Texts drawn from the model at temperature 1, all at once, with a KV cache.

    prompts: int [n, p] -> tokens int [n, p + new]; mask bool [n, new], true up to the first `end`, which counts

    What stands behind the first `end` is `end` again.
    """
    tokens, past = prompts, [None] * len(model.blocks)
    ended = torch.zeros(prompts.shape[0], dtype=torch.bool, device=prompts.device)
    masks, latest = [], prompts
    for _ in range(new):
        before = tokens.shape[1] - latest.shape[1]
        positions = torch.arange(before, tokens.shape[1], device=tokens.device)[None]
        x, turn = model.embed(latest, positions), model.turns(positions)
        # One token sees all before it. SDPA's own causal mask would let it see the very first alone.
        mask = torch.ones(1, 1, 1, tokens.shape[1], dtype=torch.bool, device=x.device) if before else None
        for layer, block in enumerate(model.blocks):
            x, past[layer] = block(x, turn, past[layer], mask)
        chances = model.head(model.norm(x[:, -1])).softmax(dim=-1)
        latest = torch.multinomial(chances.cpu(), 1, generator=generator).to(tokens.device)
        latest = torch.where(ended[:, None], end, latest)
        masks.append(~ended)
        ended = ended | (latest[:, 0] == end)
        tokens = torch.cat([tokens, latest], dim=1)
    return tokens, torch.stack(masks, dim=1)


def predictions(model: LanguageModel, tokens: Tensor, new: int) -> Tensor:
    """Log-probabilities of every token at each of the last `new` places. tokens: int [n, p + new] -> [n, new, vocab]"""
    logits: Tensor = model(tokens[:, :-1])[:, -new:]
    return logits.log_softmax(dim=-1)


def logprobs(model: LanguageModel, tokens: Tensor, new: int) -> Tensor:
    """Log-probabilities of the last `new` tokens. tokens: int [n, p + new] -> [n, new]"""
    return predictions(model, tokens, new).gather(-1, tokens[:, -new:, None])[..., 0]


def mean_over(values: Tensor, mask: Tensor) -> Tensor:
    """The mean over the tokens that count, of each text. values: [n, t], mask: bool [n, t] -> [n]"""
    return (values * mask).sum(dim=1) / mask.sum(dim=1)


# Schulman, "Approximating KL Divergence" (2020): estimates of KL(p, q) from samples of p. ratio: log q - log p of each.
# All but k2 have the right mean; k3 is never negative and varies less than k1.


def k1(ratio: Tensor) -> Tensor:
    return -ratio


def k2(ratio: Tensor) -> Tensor:
    return ratio.square() / 2


def k3(ratio: Tensor) -> Tensor:
    return ratio.exp() - 1 - ratio
