"""Weights to begin with that copy: two layers whose heads find where a token stood before, and repeat what followed it.

Olsson et al., "In-context Learning and Induction Heads" (2022): reading a fact in a text comes down to such heads, and
training forms them late and all at once. Trockman and Kolter, "Mimetic Initialization of Self-Attention Layers" (2023):
weights that resemble what training finds save the steps until then.
"""

import torch
from torch import Tensor, nn

from models.decoders.llama import Block, LLaMA

SPREAD = 0.2  # standard deviation of the embeddings
LOCAL = 3.0  # how surely the first layer looks at the token before
MATCH = 2.0  # how surely the second layer finds the same token
SAID = 2.0  # how loudly it says what followed


@torch.no_grad()
def begin_with_copying(model: LLaMA) -> None:
    """Sets the first two layers' attention. The first writes the token before beside each token, turned; the second
    looks for places where this turned token is its own.

    Raises:
        ValueError: the model has one layer, no biases, fewer heads of keys than of queries, or narrow heads.
    """
    shape = model.shape
    alike = shape.heads == shape.kv_heads and shape.heads * shape.head == shape.width
    if shape.layers < 2 or not shape.qkv_bias or not alike:
        raise ValueError("copying: expected two layers, biases, kv_heads = heads, and heads that fill the width")
    assert isinstance(model.tokens, nn.Embedding)
    nn.init.normal_(model.tokens.weight, std=SPREAD)
    first, second = (block.attention for block in list(model.blocks)[:2] if isinstance(block, Block))
    turn = orthogonal(shape.width)
    # Scores that depend on the distance alone, and are largest one token back: the query lags by one turn.
    angles = -(shape.base ** (-torch.arange(0, shape.head, 2) / shape.head))
    first.q.bias.copy_(LOCAL * torch.cat([angles.cos(), angles.sin()]).repeat(shape.heads))
    first.k.bias.copy_(LOCAL * torch.cat([torch.ones_like(angles), torch.zeros_like(angles)]).repeat(shape.heads))
    read = orthogonal(shape.width)
    first.v.weight.copy_(read)
    first.project.weight.copy_(SPREAD * turn @ read.T)
    read = orthogonal(shape.width)
    second.v.weight.copy_(read)
    second.project.weight.copy_(SAID * SPREAD * read.T)
    find = MATCH * orthogonal(shape.width)
    second.q.weight.copy_(find)
    second.k.weight.copy_(find @ turn.T)


def orthogonal(width: int) -> Tensor:
    return nn.init.orthogonal_(torch.empty(width, width))
