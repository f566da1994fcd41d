"""T5: Raffel et al., "Exploring the Limits of Transfer Learning with a Unified Text-to-Text Transformer" (2020).

An encoder-decoder Transformer with pre-norm RMSNorm and relative positions: a learned bias on the attention scores by
the distance of two tokens (section 2.1). Version 1.1 changes the MLP to gated GELU and unties the output from the
embedding (Shazeer, "GLU Variants ...", 2020).

Shapes: n pairs of s source tokens and t target tokens, `width` values per token, `heads` heads of d values.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

PAD, END = 0, 1  # of the paper's vocabulary; a target begins with PAD
IGNORE = -100  # targets that F.cross_entropy leaves out


@dataclass(frozen=True)
class Shape:
    """The hyperparameters.

    Args:
        layers: of the encoder, and as many of the decoder.
        d: of a head; heads x d need not be `width`.
        gated: version 1.1's MLP; else ReLU.
        tied: whether embedding and output share their matrix.
        buckets, far: of distances; all from `far` tokens on are one.
    """

    vocab: int
    width: int
    layers: int
    heads: int
    d: int
    hidden: int
    gated: bool
    tied: bool
    buckets: int = 32
    far: int = 128
    eps: float = 1e-6
    dropout: float = 0.1


T5_SMALL = Shape(32_128, 512, 6, 8, 64, 2048, gated=False, tied=True)  # section 3.7
T5_1_1_SMALL = Shape(32_128, 512, 8, 6, 64, 1024, gated=True, tied=False)  # the authors' "t5.1.1.small"


def bucket(distance: Tensor, buckets: int, far: int, both: bool) -> Tensor:
    """Half of the buckets hold one distance each, the others ranges that grow logarithmically to `far` (section 2.1).

    distance: int of any shape, key position - query position; both: whether keys may come after the query
    """
    offset = torch.zeros_like(distance)
    if both:
        buckets //= 2
        offset = (distance > 0) * buckets
        distance = distance.abs()
    else:
        distance = (-distance).clamp(min=0)
    exact = buckets // 2
    ratio = torch.log(distance.clamp(min=1).float() / exact) / math.log(far / exact)
    ranges = (exact + (ratio * (buckets - exact)).long()).clamp(max=buckets - 1)
    return offset + torch.where(distance < exact, distance, ranges)


class RelativePositions(nn.Module):
    """A learned bias per head and bucket, shared by all layers of a stack (section 2.1)."""

    def __init__(self, shape: Shape, both: bool) -> None:
        super().__init__()
        self.buckets, self.far, self.both = shape.buckets, shape.far, both
        self.values = nn.Embedding(shape.buckets, shape.heads)

    def forward(self, t: int, device: torch.device) -> Tensor:
        """-> bias of the attention scores: [1, heads, t, t]"""
        places = torch.arange(t, device=device)
        distance = places - places[:, None]  # [queries, keys]
        return self.values(bucket(distance, self.buckets, self.far, self.both)).permute(2, 0, 1)[None]


class Attention(nn.Module):
    """Scores are not divided by sqrt(d): the initial weights of queries are that much smaller (the paper's code)."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.d, self.dropout = shape.d, shape.dropout
        self.q, self.k, self.v = (nn.Linear(shape.width, shape.heads * shape.d, bias=False) for _ in range(3))
        self.project = nn.Linear(shape.heads * shape.d, shape.width, bias=False)
        nn.init.normal_(self.q.weight, std=(shape.width * shape.d) ** -0.5)
        for part in (self.k, self.v):
            nn.init.normal_(part.weight, std=shape.width**-0.5)
        nn.init.normal_(self.project.weight, std=(shape.heads * shape.d) ** -0.5)

    def forward(self, x: Tensor, source: Tensor, bias: Tensor) -> Tensor:
        """x: [n, t, width]; source: to attend to, [n, s, width]; bias: of scores, [n or 1, heads or 1, t, s]"""
        q = self.q(x).unflatten(-1, (-1, self.d)).transpose(1, 2)
        k, v = (part(source).unflatten(-1, (-1, self.d)).transpose(1, 2) for part in (self.k, self.v))
        y = F.scaled_dot_product_attention(q, k, v, bias, self.dropout if self.training else 0.0, scale=1.0)
        return self.project(y.transpose(1, 2).flatten(2))


class MLP(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.up = nn.Linear(shape.width, shape.hidden, bias=False)
        self.gate = nn.Linear(shape.width, shape.hidden, bias=False) if shape.gated else None
        self.down = nn.Linear(shape.hidden, shape.width, bias=False)
        self.dropout = nn.Dropout(shape.dropout)
        for part in filter(None, (self.up, self.gate)):
            nn.init.normal_(part.weight, std=shape.width**-0.5)
        nn.init.normal_(self.down.weight, std=shape.hidden**-0.5)

    def forward(self, x: Tensor) -> Tensor:
        """x: [n, t, width], and so the result"""
        y = F.relu(self.up(x)) if self.gate is None else F.gelu(self.gate(x), approximate="tanh") * self.up(x)
        return self.down(self.dropout(y))


class Block(nn.Module):
    """Self-attention, cross-attention in the decoder, MLP; pre-norm."""

    def __init__(self, shape: Shape, decoder: bool) -> None:
        super().__init__()
        self.norm_1, self.attention = nn.RMSNorm(shape.width, shape.eps), Attention(shape)
        self.norm_2 = nn.RMSNorm(shape.width, shape.eps) if decoder else None
        self.cross = Attention(shape) if decoder else None
        self.norm_3, self.mlp = nn.RMSNorm(shape.width, shape.eps), MLP(shape)
        self.dropout = nn.Dropout(shape.dropout)

    def forward(self, x: Tensor, bias: Tensor, source: Tensor | None = None, hidden: Tensor | None = None) -> Tensor:
        """x: [n, t, width]; bias: [n or 1, heads, t, t]; of the decoder: source [n, s, width], hidden [n, 1, 1, s]"""
        y = self.norm_1(x)
        x = x + self.dropout(self.attention(y, y, bias))
        if self.cross is not None and self.norm_2 is not None and source is not None and hidden is not None:
            x = x + self.dropout(self.cross(self.norm_2(x), source, hidden))
        return x + self.dropout(self.mlp(self.norm_3(x)))


class Stack(nn.Module):
    """The encoder, or the decoder."""

    def __init__(self, shape: Shape, decoder: bool) -> None:
        super().__init__()
        self.decoder = decoder
        self.positions = RelativePositions(shape, both=not decoder)
        self.blocks = nn.ModuleList(Block(shape, decoder) for _ in range(shape.layers))
        self.norm, self.dropout = nn.RMSNorm(shape.width, shape.eps), nn.Dropout(shape.dropout)

    def forward(self, x: Tensor, own: Tensor, source: Tensor | None = None, hidden: Tensor | None = None) -> Tensor:
        """x: [n, t, width]; own, hidden: -inf in the padding, else 0: [n, 1, 1, t], [n, 1, 1, s]"""
        bias = self.positions(x.shape[1], x.device) + own
        if self.decoder:
            later = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool, device=x.device).triu(1)
            bias = bias.masked_fill(later, -torch.inf)
        x = self.dropout(x)
        for block in self.blocks:
            x = block(x, bias, source, hidden)
        return self.dropout(self.norm(x))


class T5(nn.Module):
    """Source and the target so far -> logits of the token after each."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.tokens = nn.Embedding(shape.vocab, shape.width)  # begins at N(0, 1), the paper's code
        self.encoder, self.decoder = Stack(shape, decoder=False), Stack(shape, decoder=True)
        self.head = nn.Linear(shape.width, shape.vocab, bias=False)
        if shape.tied:
            self.head.weight = self.tokens.weight
        else:
            nn.init.normal_(self.head.weight, std=shape.width**-0.5)

    def encode(self, source: Tensor, seen: Tensor) -> Tensor:
        """source: int [n, s]; seen: bool [n, s], False in the padding -> [n, s, width]"""
        return self.encoder(self.tokens(source), padding_bias(seen))

    def forward(self, source: Tensor, target: Tensor, seen: Tensor | None = None) -> Tensor:
        """source: int [n, s]; target: int [n, t], PAD and all but the last; seen: by default all that is no padding
        -> logits [n, t, vocab]"""
        seen = source != PAD if seen is None else seen
        x = self.decoder(
            self.tokens(target), padding_bias(torch.ones_like(target)), self.encode(source, seen), padding_bias(seen)
        )
        # A tied output matrix has the embedding's scale, which is divided out (the paper's code).
        return self.head(x * self.shape.width**-0.5 if self.shape.tied else x)

    def loss(self, source: Tensor, target: Tensor) -> Tensor:
        """Mean cross-entropy in nats. source: int [n, s]; target: int [n, t], ends with END, padded with PAD"""
        logits = self(source, F.pad(target[:, :-1], (1, 0), value=PAD))
        return F.cross_entropy(logits.flatten(0, 1), target.masked_fill(target == PAD, IGNORE).flatten())


def padding_bias(seen: Tensor) -> Tensor:
    """Additive mask: -inf in the padding, else 0. bool [n, t] -> [n, 1, 1, t]; a row has at least one token"""
    return torch.zeros(seen.shape, device=seen.device).masked_fill(~seen.bool(), -torch.inf)[:, None, None]


def corrupt_spans(
    tokens: Sequence[int], vocab: int, generator: torch.Generator, share: float = 0.15, length: float = 3.0
) -> tuple[list[int], list[int]]:
    """Span corruption for pre-training (sections 3.1.4 and 3.3.4): a sentinel replaces each dropped span.

    tokens: at least 2; share: of tokens to drop; length: mean length of a span
    vocab: the sentinels are its last ids, downwards
    -> encoder input: text, sentinel, text, ..., END; target: sentinel, span, ..., END

    Raises:
        ValueError: a text of fewer than 2 tokens.
    """
    if len(tokens) < 2:
        raise ValueError(f"span corruption: found {len(tokens)} tokens; expected at least 2")
    cut = min(max(round(share * len(tokens)), 1), len(tokens) - 1)
    spans = min(max(round(cut / length), 1), len(tokens) - cut)
    kept, gone = (_split(total, spans, generator) for total in (len(tokens) - cut, cut))
    read, said, place = list[int](), list[int](), 0
    for i, (before, span) in enumerate(zip(kept, gone, strict=True)):
        sentinel, start = vocab - 1 - i, place + before
        read += [*tokens[place:start], sentinel]
        said += [sentinel, *tokens[start : start + span]]
        place = start + span
    return [*read, END], [*said, END]


def _split(total: int, parts: int, generator: torch.Generator) -> list[int]:
    """`total` as a sum of `parts` positive numbers, every way as likely."""
    ends = torch.randperm(total - 1, generator=generator)[: parts - 1].sort().values + 1
    edges = [0, *ends.tolist(), total]
    return [end - start for start, end in pairwise(edges)]


# Our names of parts, and those of transformers, whose blocks are lists: layer.0 is self-attention, the last the MLP.
ENCODER = {"attention": "layer.0.SelfAttention", "norm_1": "layer.0.layer_norm"}
ENCODER |= {"mlp": "layer.1.DenseReluDense", "norm_3": "layer.1.layer_norm"}
DECODER = ENCODER | {"cross": "layer.1.EncDecAttention", "norm_2": "layer.1.layer_norm"}
DECODER |= {"mlp": "layer.2.DenseReluDense", "norm_3": "layer.2.layer_norm"}


def names(shape: Shape) -> dict[str, str]:
    """Every weight's name, ours -> theirs."""
    with torch.device("meta"):
        ours = T5(shape).state_dict()
    leaves = {"project": "o", "down": "wo", "gate": "wi_0", "up": "wi_1" if shape.gated else "wi"}
    found = {}
    for name in ours:
        theirs = name.replace("tokens.", "shared.").replace("head.", "lm_head.")
        if match := re.fullmatch(r"(encoder|decoder)\.blocks\.(\d+)\.(\w+)\.(?:(\w+)\.)?weight", name):
            stack, index, part, leaf = match.groups()
            inner = (DECODER if stack == "decoder" else ENCODER)[part]
            theirs = ".".join(filter(None, (stack, "block", index, inner, leaves.get(leaf, leaf), "weight")))
        elif match := re.fullmatch(r"(encoder|decoder)\.(positions\.values|norm)\.weight", name):
            bias = "block.0.layer.0.SelfAttention.relative_attention_bias"
            theirs = f"{match[1]}.{bias if match[2] != 'norm' else 'final_layer_norm'}.weight"
        found[name] = theirs
    return found


def to_transformers(state: dict[str, Tensor], shape: Shape) -> dict[str, Tensor]:
    """Our weights as in a published file, which has tied ones once."""
    renamed = {theirs: state[ours] for ours, theirs in names(shape).items()}
    if shape.tied:
        del renamed["lm_head.weight"]
    return renamed


def from_transformers(state: dict[str, Tensor], shape: Shape) -> dict[str, Tensor]:
    """Published weights under our names. Some files have the embedding several times."""
    state = state | ({"lm_head.weight": state["shared.weight"]} if shape.tied else {})
    return {ours: state[theirs] for ours, theirs in names(shape).items()}
