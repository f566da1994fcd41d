"""The Transformer: Vaswani et al., "Attention Is All You Need" (2017). Sections in comments are the paper's.

Two variants of later years: normalising before each part (Xiong et al., "On Layer Normalization in the Transformer
Architecture", 2020, section 3), and rotary positions (Su et al., "RoFormer", 2021).

Shapes: as in translator.py; `heads` heads of d = width / heads.
"""

import math
from collections.abc import Callable
from typing import Unpack

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.translation.translator import State, Training, Translator, inside

Pair = tuple[Tensor, Tensor]


def sinusoids(start: int, t: int, width: int, device: torch.device) -> Tensor:
    """Positions start to start + t: sines at even places, cosines at odd ones (3.5). -> [t, width]"""
    places = torch.arange(start, start + t, device=device)
    frequencies = 10_000.0 ** (-torch.arange(0, width, 2, device=device) / width)
    angles = places[:, None] * frequencies
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)


def rotation(start: int, t: int, d: int, device: torch.device) -> Pair:
    """Cosines and sines of the angles of positions start to start + t (RoFormer, section 3.2.2). -> [t, d / 2] each"""
    places = torch.arange(start, start + t, device=device)
    angles = places[:, None] * 10_000.0 ** (-torch.arange(0, d, 2, device=device) / d)
    return angles.cos(), angles.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Values i and i + d/2 turn as a point of a plane, so that queries and keys meet at an angle of their distance.

    x: [n, heads, t, d] -> the same shape; cos, sin: [t, d / 2]
    """
    a, b = x.chunk(2, dim=-1)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1).type_as(x)


class Attention(nn.Module):
    """Multi-head attention (3.2.2)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q, self.kv, self.project = nn.Linear(width, width), nn.Linear(width, 2 * width), nn.Linear(width, width)

    def queries(self, x: Tensor) -> Tensor:
        """[n, t, width] -> [n, heads, t, d]"""
        return self.q(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def keys(self, x: Tensor) -> Pair:
        """[n, s, width] -> keys and values, [n, heads, s, d] each"""
        k, v = self.kv(x).unflatten(-1, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return k, v

    def forward(self, q: Tensor, k: Tensor, v: Tensor, seen: Tensor | None) -> tuple[Tensor, Tensor]:
        """q: [n, heads, t, d]; k, v: [n, heads, s, d]; seen: bool, [n or 1, 1, t or 1, s]
        -> [n, t, width]; weights [n, heads, t, s]"""
        scores = q @ k.transpose(2, 3) / math.sqrt(q.shape[3])  # scaled dot products (3.2.1)
        if seen is not None:
            scores = scores.masked_fill(~seen, -torch.inf)
        weights = scores.softmax(dim=-1)
        return self.project((weights @ v).transpose(1, 2).flatten(2)), weights


class Layer(nn.Module):
    """What layers of both stacks have (3.1)."""

    def __init__(self, width: int, heads: int, hidden: int, dropout: float, pre_norm: bool) -> None:
        super().__init__()
        self.pre_norm, self.dropout = pre_norm, nn.Dropout(dropout)
        self.attention, self.norm_1 = Attention(width, heads), nn.LayerNorm(width)
        self.expand, self.contract, self.norm_3 = (
            nn.Linear(width, hidden),
            nn.Linear(hidden, width),
            nn.LayerNorm(width),
        )

    def around(self, part: Callable[[Tensor], Tensor], norm: nn.LayerNorm, x: Tensor) -> Tensor:
        """What a part says is added to what it read, after dropout (5.4). x: [n, t, width], and so the result"""
        if self.pre_norm:
            return x + self.dropout(part(norm(x)))
        return norm(x + self.dropout(part(x)))

    def feed_forward(self, x: Tensor) -> Tensor:
        """Position-wise (3.3). x: [n, t, width], and so the result"""
        return self.contract(F.relu(self.expand(x)))

    def own(self, x: Tensor, turn: Pair | None) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values of the layer's own tokens, turned where positions are rotary.

        x: [n, t, width] -> [n, heads, t, d] each
        """
        q, (k, v) = self.attention.queries(x), self.attention.keys(x)
        return (q, k, v) if turn is None else (rotate(q, *turn), rotate(k, *turn), v)


class EncoderLayer(Layer):
    """Self-attention, feed-forward network."""

    def forward(self, x: Tensor, seen: Tensor, turn: Pair | None) -> Tensor:
        """x: [n, s, width]; seen: bool [n, 1, 1, s]"""

        def look_around(x: Tensor) -> Tensor:
            return self.attention(*self.own(x, turn), seen)[0]

        return self.around(self.feed_forward, self.norm_3, self.around(look_around, self.norm_1, x))


class DecoderLayer(Layer):
    """Self-attention, attention to the source, feed-forward network."""

    def __init__(self, width: int, heads: int, hidden: int, dropout: float, pre_norm: bool) -> None:
        super().__init__(width, heads, hidden, dropout, pre_norm)
        self.cross, self.norm_2 = Attention(width, heads), nn.LayerNorm(width)

    def forward(
        self, x: Tensor, past: State, memory: State, before: Tensor, seen: Tensor, turn: Pair | None
    ) -> tuple[Tensor, State, Tensor]:
        """x: [n, t, width]; past: keys and values of p tokens before; memory: those of the source
        before: bool [t, p + t], False for later tokens; seen: bool [n, 1, 1, s], False in the padding
        -> as x; as past, p + t; attention to the source [n, heads, t, s]"""
        kept: list[Tensor] = []

        def look_back(x: Tensor) -> Tensor:
            q, k, v = self.own(x, turn)
            kept.extend([torch.cat([past[0], k], dim=2), torch.cat([past[1], v], dim=2)])
            return self.attention(q, *kept, before)[0]

        def look_at_source(x: Tensor) -> Tensor:
            y, weights = self.cross(self.cross.queries(x), *memory, seen)
            kept.append(weights)
            return y

        x = self.around(look_back, self.norm_1, x)
        x = self.around(look_at_source, self.norm_2, x)
        x = self.around(self.feed_forward, self.norm_3, x)
        keys, values, weights = kept
        return x, (keys, values), weights


class Transformer(Translator):
    """
    Args:
        layers: of the encoder, and as many of the decoder; the paper's base model has 6.
        heads, hidden: 8 and 2048 there, with a width of 512.
        positions: sinusoidal or rotary.
        pre_norm: whether to normalise before each part, and once at the end, instead of behind each.
        training: as of Translator. Dropout is on embeddings and on what each part says (5.4).
    """

    memory_axes = {2: "source"}  # noqa: RUF012
    state_axes = {2: "before"}  # noqa: RUF012

    def __init__(
        self,
        vocab: int,
        width: int,
        layers: int,
        heads: int,
        hidden: int,
        dropout: float,
        positions: str = "sinusoidal",
        pre_norm: bool = False,
        **training: Unpack[Training],
    ) -> None:
        super().__init__(vocab, width, dropout, **training)
        self.rotary, self.d = positions == "rotary", width // heads
        sizes = (width, heads, hidden, dropout, pre_norm)
        self.encoder = nn.ModuleList(EncoderLayer(*sizes) for _ in range(layers))
        self.decoder = nn.ModuleList(DecoderLayer(*sizes) for _ in range(layers))
        self.encoder_norm, self.decoder_norm = (nn.LayerNorm(width) if pre_norm else nn.Identity() for _ in range(2))
        for stack in (self.encoder, self.decoder):
            for parameter in stack.parameters():
                if parameter.ndim > 1:
                    nn.init.xavier_uniform_(parameter)

    def embed(self, tokens: Tensor, start: int) -> tuple[Tensor, Pair | None]:
        """Embeddings times sqrt(width) (3.4), plus positions (3.5), from `start` on; or how far to turn.

        tokens: int [n, t] -> [n, t, width]
        """
        x = self.tokens(tokens) * math.sqrt(self.width)
        if self.rotary:
            return self.dropout(x), rotation(start, tokens.shape[1], self.d, x.device)
        return self.dropout(x + sinusoids(start, tokens.shape[1], self.width, x.device)), None

    def encode(self, source: Tensor, lengths: Tensor) -> tuple[State, State]:
        """-> lengths, and keys and values of the source by layer of the decoder, [n, heads, s, d] each; those of no
        target yet, [n, heads, 0, d] each"""
        seen = inside(source, lengths)[:, None, None]
        x, turn = self.embed(source, 0)
        for layer in self.encoder:
            x = layer(x, seen, turn)
        x = self.encoder_norm(x)
        layers = (layer for layer in self.decoder.children() if isinstance(layer, DecoderLayer))
        memory = tuple(part for layer in layers for part in layer.cross.keys(x))
        return (lengths, *memory), tuple(part[:, :, :0] for part in memory)

    def step(self, tokens: Tensor, memory: State, state: State) -> tuple[Tensor, Tensor, State]:
        """Attention is the mean over heads in the last layer."""
        lengths, *memories = memory
        before, t = state[0].shape[2], tokens.shape[1]
        places = torch.arange(before + t, device=tokens.device)
        earlier = places <= places[before:, None]  # no token sees a later one (3.2.3)
        seen = (torch.arange(memories[0].shape[2], device=tokens.device) < lengths[:, None])[:, None, None]
        x, turn = self.embed(tokens, before)
        present: list[Tensor] = []
        weights = seen
        for i, layer in enumerate(self.decoder):
            pair = slice(2 * i, 2 * i + 2)
            x, kept, weights = layer(x, state[pair], memories[pair], earlier, seen, turn)
            present += kept
        return self.logits(self.decoder_norm(x)), weights.mean(dim=1), tuple(present)
