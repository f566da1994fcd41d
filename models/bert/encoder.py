"""The encoder of BERT (Devlin et al., 2019, section 3): tokens that attend to all others, left and right.

Shapes: n sequences of t tokens, `width` values per token, in `heads` heads.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
class Shape:
    """The hyperparameters. context: the longest input, in tokens; types: segments (two sentences, in the paper)."""

    vocab: int
    width: int
    layers: int
    heads: int
    hidden: int
    context: int = 512
    types: int = 2
    eps: float = 1e-12
    dropout: float = 0.1


BERT_BASE = Shape(30_522, 768, 12, 12, 3072)  # section 3
# Wang et al., "MiniLM" (2020), section 4.1, distilled from BERT; sentence-transformers tuned it to compare sentences.
MINILM_L6 = Shape(30_522, 384, 6, 12, 1536)


class Attention(nn.Module):
    """Bidirectional self-attention."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.heads, self.dropout = shape.heads, shape.dropout
        self.q, self.k, self.v = (nn.Linear(shape.width, shape.width) for _ in range(3))
        self.project = nn.Linear(shape.width, shape.width)

    def forward(self, x: Tensor, seen: Tensor | None) -> Tensor:
        """x: [n, t, width]; seen: bool [n, 1, 1, t], False in the padding"""
        q, k, v = (part(x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in (self.q, self.k, self.v))
        # Written out, because PyTorch's fused function is several times slower in bfloat16 on CPUs.
        scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
        if seen is not None:
            scores = scores.masked_fill(~seen, -math.inf)
        weights = F.dropout(scores.softmax(dim=-1), self.dropout, self.training)
        return self.project((weights @ v).transpose(1, 2).flatten(2))


class Block(nn.Module):
    """Post-norm, as Vaswani et al. (2017); GPT-2 is pre-norm."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.attention, self.norm_1 = Attention(shape), nn.LayerNorm(shape.width, shape.eps)
        self.expand, self.contract = nn.Linear(shape.width, shape.hidden), nn.Linear(shape.hidden, shape.width)
        self.norm_2 = nn.LayerNorm(shape.width, shape.eps)
        self.dropout = nn.Dropout(shape.dropout)

    def forward(self, x: Tensor, seen: Tensor | None) -> Tensor:
        """x: [n, t, width]; seen: as of Attention"""
        x = self.norm_1(x + self.dropout(self.attention(x, seen)))
        return self.norm_2(x + self.dropout(self.contract(F.gelu(self.expand(x)))))


class Bert(nn.Module):
    """Token ids -> contextual embeddings."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.tokens = nn.Embedding(shape.vocab, shape.width)
        self.positions = nn.Embedding(shape.context, shape.width)
        self.types = nn.Embedding(shape.types, shape.width)
        self.norm, self.dropout = nn.LayerNorm(shape.width, shape.eps), nn.Dropout(shape.dropout)
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.pooler = nn.Linear(shape.width, shape.width)
        self.apply(initialise)

    def forward(self, tokens: Tensor, seen: Tensor | None = None, types: Tensor | None = None) -> Tensor:
        """tokens: int [n, t]; seen: bool [n, t], False in the padding; types: int [n, t], 0 if None
        -> [n, t, width]; values in the padding are meaningless"""
        return self.states(tokens, seen, types)[-1]

    def states(self, tokens: Tensor, seen: Tensor | None = None, types: Tensor | None = None) -> list[Tensor]:
        """The input of the first block and the output of each: [n, t, width]."""
        positions = torch.arange(tokens.shape[1], device=tokens.device)
        types = torch.zeros_like(tokens) if types is None else types
        x = self.dropout(self.norm(self.tokens(tokens) + self.positions(positions) + self.types(types)))
        seen = None if seen is None else seen[:, None, None]
        states = [x]
        for block in self.blocks:
            states.append(block(states[-1], seen))
        return states

    def pool(self, hidden: Tensor) -> Tensor:
        """The first token's vector ([CLS]) through a tanh layer. hidden: [n, t, width] -> [n, width]"""
        return torch.tanh(self.pooler(hidden[:, 0]))


def initialise(module: nn.Module) -> None:
    """Normal, 0.02 (the paper's code)."""
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=0.02)
    if isinstance(module, nn.Linear):
        nn.init.zeros_(module.bias)


def mean(hidden: Tensor, seen: Tensor) -> Tensor:
    """The mean over tokens. hidden: [n, t, width], seen: bool [n, t] -> [n, width]"""
    weights = seen[:, :, None].type_as(hidden)
    return (hidden * weights).sum(dim=1) / weights.sum(dim=1)


def sentence_vectors(hidden: Tensor, seen: Tensor) -> Tensor:
    """The mean over tokens, of length 1 (Reimers and Gurevych, "Sentence-BERT", 2019, section 3).

    hidden: [n, t, width], seen: bool [n, t] -> [n, width]
    """
    return F.normalize(mean(hidden, seen), dim=1)
