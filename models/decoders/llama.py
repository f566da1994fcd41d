"""LLaMA and its relatives: Mistral, Mixtral, Qwen3 and Gemma are settings of one network.

Touvron et al., "LLaMA: Open and Efficient Foundation Language Models" (2023), section 2.2, names what it changed in
the decoder of GPT: RMSNorm before each part (from GPT-3), SwiGLU (from PaLM), rotary positions (from GPT-NeoX), and no
biases. Each later paper changed a line or two; they stand beside the fields of `Shape` (shape.py).

Shapes: n sequences of t tokens, `width` values per token; queries in `heads` heads of `d` values, keys and values in
`kv_heads` of them.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.decoders.language_model import LanguageModel
from models.decoders.published import config_of, to_transformers
from models.decoders.rotary import Pair, rotate, rotation
from models.decoders.shape import Shape


class RMSNorm(nn.Module):
    """x / rms(x) * weight (Zhang and Sennrich, "Root Mean Square Layer Normalization", 2019, equation 4)."""

    def __init__(self, width: int, eps: float, offset: bool = False) -> None:
        super().__init__()
        self.eps, self.offset = eps, offset
        self.weight = nn.Parameter(torch.zeros(width) if offset else torch.ones(width))

    def scale(self) -> Tensor:
        return 1 + self.weight if self.offset else self.weight

    def forward(self, x: Tensor) -> Tensor:
        """x: [..., width]"""
        y = x.to(torch.promote_types(x.dtype, torch.float32))
        y = y * torch.rsqrt(y.square().mean(-1, keepdim=True) + self.eps)
        return y.type_as(x) * self.scale()


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
        publish: whether the weights are to be kept beside the exported graph, as files that others read.
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
        publish: bool = False,
        **sizes: Any,
    ) -> None:
        shape = Shape(**sizes)
        super().__init__(shape.block, (shape.kv_heads, shape.head), lr, final_lr, warmup, weight_decay, beta2, muon)
        self.shape, self.balance, self.publish = shape, balance, publish
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

    def embed(self, tokens: Tensor, positions: Tensor) -> Tensor:
        x = self.tokens(tokens)
        return x * math.sqrt(self.shape.width) if self.shape.offset else x

    def turns(self, positions: Tensor) -> dict[bool, Pair]:
        """Rotations without a window (False), and with one (True)."""
        s = self.shape
        usual = rotation(positions, s.head, s.base, s.scaling)
        return {False: usual, True: rotation(positions, s.head, s.window_base) if s.window_base else usual}

    def published(self) -> dict[str, Any]:
        """config.json and the tensors, as transformers has them. Raises: ValueError: it has no class of this shape."""
        return {"config": config_of(self.shape), "state": to_transformers(self.state_dict(), self.shape)}

    def loss(self, tokens: Tensor, targets: Tensor) -> Tensor:
        """As LanguageModel's, plus the weighted balance of experts."""
        loss = super().loss(tokens, targets)
        experts = [module.balance for module in self.blocks.modules() if isinstance(module, Experts)]
        return loss + self.balance * torch.stack(experts).mean() if experts else loss
