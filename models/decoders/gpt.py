"""A GPT: the decoder-only transformer of Radford et al., "Language Models are Unsupervised Multitask Learners" (2019).

Shapes: n sequences of t tokens, `width` values per token, split over `heads` of d = width / heads.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.decoders.language_model import LanguageModel
from models.decoders.rotary import Pair, rotate, rotation


class Attention(nn.Module):
    """Causal self-attention."""

    def __init__(self, width: int, heads: int, bias: bool, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.qkv = nn.Linear(width, 3 * width, bias)
        self.project = nn.Linear(width, width, bias)

    def forward(
        self, x: Tensor, turn: Pair | None, past: Pair | None = None, mask: Tensor | None = None
    ) -> tuple[Tensor, Pair]:
        """x: [n, t, width]; past: keys and values of p tokens before, [n, heads, p, d] each -> as x; as past, p + t"""
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)  # [n, heads, t, d] each
        if turn is not None:
            q, k = rotate(q, *turn), rotate(k, *turn)
        if past is not None:
            k, v = torch.cat([past[0], k], dim=2), torch.cat([past[1], v], dim=2)
        dropout = self.dropout if self.training else 0.0
        y = F.scaled_dot_product_attention(q, k, v, mask, dropout, is_causal=mask is None)
        return self.project(y.transpose(1, 2).flatten(2)), (k, v)


class MLP(nn.Module):
    def __init__(self, width: int, bias: bool) -> None:
        super().__init__()
        self.expand = nn.Linear(width, 4 * width, bias)
        self.project = nn.Linear(4 * width, width, bias)

    def forward(self, x: Tensor) -> Tensor:
        """x: [n, t, width], and so the result"""
        return self.project(F.gelu(self.expand(x), approximate="tanh"))


class Block(nn.Module):
    def __init__(self, width: int, heads: int, bias: bool, dropout: float) -> None:
        super().__init__()
        self.norm_1, self.attention = nn.LayerNorm(width, bias=bias), Attention(width, heads, bias, dropout)
        self.norm_2, self.mlp = nn.LayerNorm(width, bias=bias), MLP(width, bias)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, x: Tensor, turn: Pair | None, past: Pair | None = None, mask: Tensor | None = None
    ) -> tuple[Tensor, Pair]:
        """As Attention's."""
        y, present = self.attention(self.norm_1(x), turn, past, mask)
        x = x + self.dropout(y)
        return x + self.dropout(self.mlp(self.norm_2(x))), present


class GPT(LanguageModel):
    """Predicts the next token from at most `block` tokens.

    Args:
        vocab: number of tokens.
        block: context length.
        layers, heads, width: size of the network.
        positions: learned (as GPT-2) or rotary.
        bias: whether linear layers and normalisation have biases (as GPT-2).
        dropout: on embeddings, attention and both branches of a block.
        compile: whether to train through torch.compile.
        The rest: of LanguageModel.
    """

    def __init__(
        self,
        vocab: int,
        block: int,
        layers: int,
        heads: int,
        width: int,
        positions: str,
        bias: bool,
        dropout: float,
        lr: float,
        final_lr: float,
        warmup: int,
        weight_decay: float,
        beta2: float,
        muon: float | None = None,
        compile: bool = False,
    ) -> None:
        super().__init__(block, (heads, width // heads), lr, final_lr, warmup, weight_decay, beta2, muon)
        self.tokens = nn.Embedding(vocab, width)
        self.positions = nn.Embedding(block, width) if positions == "learned" else None
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(Block(width, heads, bias, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width, bias=bias)
        self.head = nn.Linear(width, vocab, bias=False)
        self.head.weight = self.tokens.weight  # Press and Wolf, "Using the Output Embedding", 2017
        self.apply(self._initialise)
        for name, parameter in self.named_parameters():
            if name.endswith("project.weight"):  # each block adds to the residual stream twice
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * layers))
        self.fast = torch.compile(self._logits) if compile else self._logits

    @staticmethod
    def _initialise(module: nn.Module) -> None:
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=0.02)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)

    def embed(self, tokens: Tensor, positions: Tensor) -> Tensor:
        x = self.tokens(tokens)
        return self.dropout(x if self.positions is None else x + self.positions(positions))

    def turns(self, positions: Tensor) -> Pair | None:
        return rotation(positions, self.cache[1]) if self.positions is None else None

    def forward(self, tokens: Tensor) -> Tensor:
        return self.fast(tokens) if self.training else self._logits(tokens)


# Weight names of transformers' GPT2LMHeadModel. Its Conv1D stores a matrix as [in, out], nn.Linear as [out, in].
NAMES = {
    "tokens": "transformer.wte",
    "positions": "transformer.wpe",
    "blocks": "transformer.h",
    "norm_1": "ln_1",
    "norm_2": "ln_2",
    "attention.qkv": "attn.c_attn",
    "attention.project": "attn.c_proj",
    "mlp.expand": "mlp.c_fc",
    "mlp.project": "mlp.c_proj",
    "norm": "transformer.ln_f",
    "head": "lm_head",
}
OURS = {theirs: ours for ours, theirs in NAMES.items()}


def _renamed(state: dict[str, Tensor], names: dict[str, str]) -> dict[str, Tensor]:
    renamed = {}
    for name, value in state.items():
        whole, _, leaf = name.rpartition(".")
        if whole in names:
            key = names[whole]
        else:  # blocks.<i>.<part>, or transformer.h.<i>.<part>
            stem = next(prefix for prefix in (NAMES["blocks"], "blocks") if whole.startswith(f"{prefix}."))
            index, _, part = whole.removeprefix(f"{stem}.").partition(".")
            key = f"{names[stem]}.{index}.{names[part]}"
        linear = value.ndim == 2 and any(part in whole for part in ("attn.", "attention.", "mlp."))
        renamed[f"{key}.{leaf}"] = value.T.contiguous() if linear else value
    return renamed


def to_gpt2(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Our weights (learned positions, with biases) under transformers' names."""
    return _renamed(state, NAMES)


def from_gpt2(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Transformers' weights under our names."""
    return _renamed({name: value for name, value in state.items() if not name.endswith(".attn.bias")}, OURS)
