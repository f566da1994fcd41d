"""LLaMA and its relatives: Mistral, Mixtral, Qwen3 and Gemma are settings of one network.

Touvron et al., "LLaMA: Open and Efficient Foundation Language Models" (2023), section 2.2, names what it changed in
the decoder of GPT: RMSNorm before each part (from GPT-3), SwiGLU (from PaLM), rotary positions (from GPT-NeoX), and no
biases. Each later paper changed a line or two; they stand beside the fields of `Shape`.

Shapes: n sequences of t tokens, `width` values per token; queries in `heads` heads of `d` values, keys and values in
`kv_heads` of them.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.decoders.language_model import LanguageModel
from models.decoders.rotary import Pair, Scaling, rotate, rotation


@dataclass(frozen=True)
class Shape:
    """The hyperparameters.

    Args:
        vocab, block, layers, heads, width: as of GPT.
        kv_heads: each serves heads / kv_heads queries (Ainslie et al., "GQA", 2023, section 2.2).
        hidden: width inside the MLP, of each expert where there are several.
        d: of a head; None is width / heads.
        eps: of RMSNorm.
        base, scaling: of rotary positions.
        window: sliding window: a token attends to so many, itself included (Mistral 7B, section 2); None is no window.
        period: every so many layers, one has no window (Gemma 3, section 2.1); 0 is never.
        window_base: rotary base of the layers with a window, which need no scaling (Gemma 3); None is `base`.
        tied: whether embedding and output share their matrix.
        qkv_bias: whether queries, keys and values have biases (Qwen 1 to 2.5).
        qk_norm: whether queries and keys are normalised by head (Qwen3 report, section 2; Gemma 3, section 2).
        gelu: GEGLU instead of SwiGLU (Shazeer, "GLU Variants Improve Transformer", 2020; Gemma, section 2).
        offset: RMSNorm multiplies by 1 + weight, embeddings by sqrt(width) (Gemma's code).
        post_norm: RMSNorm after each part as well (Gemma 2, section 2).
        experts, active: experts of a layer, and how many process a token (Mixtral, section 2.1); 0 is one dense MLP.
    """

    vocab: int
    width: int
    layers: int
    heads: int
    kv_heads: int
    hidden: int
    block: int
    d: int | None = None
    eps: float = 1e-5
    base: float = 10_000.0
    scaling: Scaling | None = None
    window: int | None = None
    period: int = 0
    window_base: float | None = None
    tied: bool = False
    qkv_bias: bool = False
    qk_norm: bool = False
    gelu: bool = False
    offset: bool = False
    post_norm: bool = False
    experts: int = 0
    active: int = 0

    @property
    def head(self) -> int:
        """Values per head."""
        return self.d or self.width // self.heads

    def window_of(self, layer: int) -> int | None:
        return None if self.period and (layer + 1) % self.period == 0 else self.window


class RMSNorm(nn.Module):
    """x / rms(x) * weight (Zhang and Sennrich, "Root Mean Square Layer Normalization", 2019, equation 4)."""

    def __init__(self, width: int, eps: float, offset: bool = False) -> None:
        super().__init__()
        self.eps, self.offset = eps, offset
        self.weight = nn.Parameter(torch.zeros(width) if offset else torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """x: [..., width]"""
        y = x.float()
        y = y * torch.rsqrt(y.square().mean(-1, keepdim=True) + self.eps)
        return y.type_as(x) * (1 + self.weight if self.offset else self.weight)


class Attention(nn.Module):
    """Causal self-attention, grouped: several heads of queries read the same keys and values."""

    def __init__(self, shape: Shape, layer: int) -> None:
        super().__init__()
        self.d, self.kv_heads, self.window = shape.head, shape.kv_heads, shape.window_of(layer)
        self.q = nn.Linear(shape.width, shape.heads * self.d, shape.qkv_bias)
        self.k = nn.Linear(shape.width, shape.kv_heads * self.d, shape.qkv_bias)
        self.v = nn.Linear(shape.width, shape.kv_heads * self.d, shape.qkv_bias)
        self.project = nn.Linear(shape.heads * self.d, shape.width, bias=False)
        self.q_norm = RMSNorm(self.d, shape.eps, shape.offset) if shape.qk_norm else nn.Identity()
        self.k_norm = RMSNorm(self.d, shape.eps, shape.offset) if shape.qk_norm else nn.Identity()

    def forward(self, x: Tensor, turn: Pair, past: Pair | None, mask: Tensor | None) -> tuple[Tensor, Pair]:
        """
        x: [n, t, width]; past: keys and values of p tokens before, [n, kv_heads, p, d] each
        mask: bool [n, 1, t, p + t], what each token sees; None is all before it
        -> as x; as past, p + t
        """
        q, k, v = (part(x).unflatten(-1, (-1, self.d)).transpose(1, 2) for part in (self.q, self.k, self.v))
        q, k = rotate(self.q_norm(q), *turn), rotate(self.k_norm(k), *turn)
        if past is not None:
            k, v = torch.cat([past[0], k], dim=2), torch.cat([past[1], v], dim=2)
        if self.window is not None:  # the queries are the last of the keys
            slots = torch.arange(k.shape[2], device=x.device)
            behind = slots[k.shape[2] - q.shape[2] :, None] - slots  # [t, p + t]
            near = (behind >= 0) & (behind < self.window)
            mask = near if mask is None else mask & near
        keys, values = (y.repeat_interleave(q.shape[1] // self.kv_heads, dim=1) for y in (k, v))  # [n, heads, p + t, d]
        y = F.scaled_dot_product_attention(q, keys, values, mask, is_causal=mask is None)
        return self.project(y.transpose(1, 2).flatten(2)), (k, v)


class MLP(nn.Module):
    """SwiGLU or GEGLU (Shazeer, 2020, equation 6): one projection gates the other."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.tanh = shape.gelu
        self.gate = nn.Linear(shape.width, shape.hidden, bias=False)
        self.up = nn.Linear(shape.width, shape.hidden, bias=False)
        self.down = nn.Linear(shape.hidden, shape.width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """x: [..., width], and so the result"""
        gate = self.gate(x)
        return self.down((F.gelu(gate, approximate="tanh") if self.tanh else F.silu(gate)) * self.up(x))


class Experts(nn.Module):
    """Mixture of experts: a router sends each token to a few MLPs (Mixtral, section 2.1)."""

    balance: Tensor

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.active = shape.active
        self.router = nn.Linear(shape.width, shape.experts, bias=False)
        self.experts = nn.ModuleList(MLP(shape) for _ in range(shape.experts))

    def forward(self, x: Tensor) -> Tensor:
        """x: [n, t, width]. Sets `balance`, the load-balancing loss: 1 if all experts are used equally, more otherwise
        (Fedus et al., "Switch Transformers", 2021, equations 4 to 6)."""
        tokens = x.flatten(0, 1)
        chances = self.router(tokens).softmax(dim=-1, dtype=torch.float32)  # [n t, experts]
        best, chosen = chances.topk(self.active, dim=-1)
        weights = torch.zeros_like(chances).scatter(-1, chosen, best / best.sum(dim=-1, keepdim=True)).type_as(x)
        y = torch.zeros_like(tokens)
        for expert, weight in zip(self.experts, weights.unbind(dim=-1), strict=True):
            rows = weight.nonzero().squeeze(-1)
            y = y.index_add(0, rows, expert(tokens[rows]) * weight[rows, None])
        share = (weights > 0).float().mean(dim=0) / self.active
        self.balance = len(self.experts) * (share * chances.mean(dim=0)).sum()
        return y.view_as(x)


class Block(nn.Module):
    def __init__(self, shape: Shape, layer: int) -> None:
        super().__init__()

        def norm(wanted: bool = True) -> nn.Module:
            return RMSNorm(shape.width, shape.eps, shape.offset) if wanted else nn.Identity()

        self.norm_1, self.attention, self.post_1 = norm(), Attention(shape, layer), norm(shape.post_norm)
        self.norm_2, self.post_2 = norm(), norm(shape.post_norm)
        self.mlp = Experts(shape) if shape.experts else MLP(shape)

    def forward(
        self, x: Tensor, turns: dict[bool, Pair], past: Pair | None = None, mask: Tensor | None = None
    ) -> tuple[Tensor, Pair]:
        """As Attention's. turns: rotations of layers without a window (False), and with one (True)"""
        y, present = self.attention(self.norm_1(x), turns[self.attention.window is not None], past, mask)
        x = x + self.post_1(y)
        return x + self.post_2(self.mlp(self.norm_2(x))), present


class LLaMA(LanguageModel):
    """Predicts the next token from at most `block` tokens.

    Args:
        balance: weight of the experts' load-balancing loss (Switch Transformers, section 2.2: 0.01).
        sizes: the fields of Shape.
        The rest: of LanguageModel.
    """

    def __init__(
        self,
        *,
        lr: float,
        final_lr: float,
        warmup: int,
        weight_decay: float,
        beta2: float,
        muon: float | None = None,
        balance: float = 0.01,
        **sizes: Any,
    ) -> None:
        shape = Shape(**sizes)
        super().__init__(shape.block, (shape.kv_heads, shape.head), lr, final_lr, warmup, weight_decay, beta2, muon)
        self.shape, self.balance = shape, balance
        self.tokens = nn.Embedding(shape.vocab, shape.width)
        self.blocks = nn.ModuleList(Block(shape, layer) for layer in range(shape.layers))
        self.norm = RMSNorm(shape.width, shape.eps, shape.offset)
        self.head = nn.Linear(shape.width, shape.vocab, bias=False)
        if shape.tied:
            self.head.weight = self.tokens.weight
        for name, parameter in self.named_parameters():  # as GPT-2; the papers don't say
            if parameter.ndim == 2:
                into_stream = name.endswith(("project.weight", "down.weight"))
                nn.init.normal_(parameter, std=0.02 / (math.sqrt(2 * shape.layers) if into_stream else 1))

    def embed(self, tokens: Tensor, positions: Tensor) -> tuple[Tensor, dict[bool, Pair]]:
        """[n, t, width], and the rotations: without a window (False), and with one (True)."""
        s, x = self.shape, self.tokens(tokens)
        turns = {False: rotation(positions, s.head, s.base, s.scaling)}
        turns[True] = rotation(positions, s.head, s.window_base) if s.window_base else turns[False]
        return (x * math.sqrt(s.width) if s.offset else x), turns

    def loss(self, tokens: Tensor, targets: Tensor) -> Tensor:
        """As LanguageModel's, plus the weighted balance of experts."""
        loss = super().loss(tokens, targets)
        experts = [block.mlp.balance for block in self.blocks if isinstance(block.mlp, Experts)]
        return loss + self.balance * torch.stack(experts).mean() if experts else loss
