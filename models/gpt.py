"""A GPT: the decoder-only transformer of Radford et al., "Language Models are Unsupervised Multitask Learners" (2019).

Shapes: n sequences of t tokens, `width` values per token, split over `heads` of d = width / heads.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, overload

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.optimizer import StateDict

from models.graph import Graph

Pair = tuple[Tensor, Tensor]
ParameterGroup = dict[str, Any]  # as torch.optim takes them: `params`, and the settings for these


def rotation(positions: Tensor, d: int) -> Pair:
    """Cosines and sines of rotary positions (Su et al., "RoFormer", 2021). positions: [n, t] -> [n, 1, t, d/2] each"""
    frequencies = 10_000.0 ** (-torch.arange(0, d, 2, device=positions.device) / d)
    angles = positions[:, None, :, None] * frequencies
    return angles.cos(), angles.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotates values i and i + d/2 as a pair, by the angle of their position. x: [n, heads, t, d]"""
    a, b = x.chunk(2, dim=-1)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1).type_as(x)


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


class MuonAdamW(torch.optim.Optimizer):
    """Muon (Jordan, 2024) for the matrices inside the blocks, AdamW for the rest, stepping as one optimizer.

    Muon equalises the singular values of a matrix's step, so that directions with small gradients learn as fast.
    """

    def __init__(self, matrices: list[nn.Parameter], rest: list[ParameterGroup], muon_lr: float, **adamw: Any) -> None:
        self.both = (
            torch.optim.Muon(matrices, lr=muon_lr, weight_decay=0.01, momentum=0.95),
            torch.optim.AdamW(rest, **adamw),
        )
        super().__init__([group for one in self.both for group in one.param_groups], {})
        self._share()

    def _share(self) -> None:
        """The parameter groups of both, so that a schedule reaches them."""
        self.param_groups = [group for one in self.both for group in one.param_groups]

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        loss = closure() if closure else None
        for one in self.both:
            one.step()
        return loss

    def state_dict(self) -> StateDict:
        return {"both": [one.state_dict() for one in self.both]}

    def load_state_dict(self, state: StateDict) -> None:
        for one, part in zip(self.both, state["both"], strict=True):
            one.load_state_dict(part)
        self._share()


class LanguageModel(pl.LightningModule, ABC):
    """How decoder-only networks are trained and exported. A subclass makes `blocks`, `norm` and `head`.

    Args:
        block: context length.
        cache: heads that keep keys and values, and the size of each.
        lr: peak of the schedule; it rises over `warmup` steps and falls to `final_lr` times itself along a cosine.
        weight_decay: on matrices, not on vectors.
        beta2: of AdamW.
        muon: learning rate of Muon on the matrices of the blocks; None leaves them to AdamW.
    """

    blocks: nn.ModuleList
    norm: nn.Module
    head: nn.Linear

    def __init__(
        self,
        block: int,
        cache: tuple[int, int],
        lr: float,
        final_lr: float,
        warmup: int,
        weight_decay: float,
        beta2: float,
        muon: float | None = None,
    ) -> None:
        super().__init__()
        self.block, self.cache = block, cache
        self.lr, self.final_lr, self.warmup = lr, final_lr, warmup
        self.weight_decay, self.beta2, self.muon = weight_decay, beta2, muon

    @abstractmethod
    def embed(self, tokens: Tensor, positions: Tensor) -> tuple[Tensor, object]:
        """tokens: int [n, t], positions: int [n or 1, t] -> [n, t, width]; what blocks need to know of positions"""

    def forward(self, tokens: Tensor) -> Tensor:
        """tokens: int [n, t], t at most `block` -> logits of the token after each: [n, t, vocab]"""
        return self._logits(tokens)

    def _logits(self, tokens: Tensor) -> Tensor:
        positions = torch.arange(tokens.shape[1], device=tokens.device)[None]
        x, turn = self.embed(tokens, positions)
        for block in self.blocks:
            x, _ = block(x, turn)
        return self.head(self.norm(x))

    def loss(self, tokens: Tensor, targets: Tensor) -> Tensor:
        """Mean cross-entropy in nats. tokens, targets: int [n, t]"""
        return F.cross_entropy(self(tokens).flatten(0, 1), targets.flatten().long())

    def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
        """batch: tokens and targets, int [n, t] each"""
        return self.loss(*batch)

    def validation_step(self, batch: tuple[Tensor, Tensor], _: int) -> None:
        """batch: as of `training_step`"""
        tokens, targets = batch
        loss = F.cross_entropy(self(tokens).flatten(0, 1), targets.flatten().long())
        self.log("val_loss", loss, sync_dist=True, batch_size=len(tokens))
        self.log("val_bits_per_token", loss / math.log(2), sync_dist=True, batch_size=len(tokens))

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        inner = [p for p in self.blocks.parameters() if p.ndim > 1] if self.muon else []
        matrices = [p for p in self.parameters() if p.ndim > 1 and not any(p is one for one in inner)]
        vectors = [p for p in self.parameters() if p.ndim <= 1]
        groups = [{"params": matrices, "weight_decay": self.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
        adamw: dict[str, Any] = {"lr": self.lr, "betas": (0.9, self.beta2), "fused": True}
        optimizer: torch.optim.Optimizer = (
            MuonAdamW(inner, groups, self.muon, **adamw) if self.muon else torch.optim.AdamW(groups, **adamw)
        )
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: self.pace(step, steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def pace(self, step: int, steps: int) -> float:
        """Fraction of the peak learning rate: linear warmup, cosine decay."""
        if step < self.warmup:
            return (step + 1) / (self.warmup + 1)
        progress = (step - self.warmup) / max(1, steps - self.warmup)
        return self.final_lr + (1 - self.final_lr) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))

    def graphs(self, example: tuple[Tensor, ...]) -> dict[str, Graph]:
        """decoder.onnx: see Decoder.forward. example: tokens int [2, t], t at least 4"""
        (heads, d), n, p = self.cache, 2, 3
        names = [f"{kind}_{layer}" for layer in range(len(self.blocks)) for kind in ("key", "value")]
        inputs = {"tokens": example[0][:, :4].long(), "padding": torch.tensor([0, 2])}
        inputs |= {f"past_{name}": torch.randn(n, heads, p, d) for name in names}
        free = {"tokens": {0: "batch", 1: "new"}, "padding": {0: "batch"}}
        free |= {f"past_{name}": {0: "batch", 2: "before"} for name in names}
        outputs = ("logits", *(f"present_{name}" for name in names), "hidden")
        return {"decoder.onnx": Graph(Decoder(self), inputs, outputs, free)}


class Decoder(nn.Module):
    """The network for generation: a few tokens at a time, with earlier ones in the KV cache."""

    def __init__(self, model: LanguageModel) -> None:
        super().__init__()
        self.gpt = model

    def forward(self, tokens: Tensor, padding: Tensor, *past: Tensor) -> tuple[Tensor, ...]:
        """Slots 0 to p + t of a row hold its padding, then its tokens, so that all rows end together.

        tokens: int [n, t], padding: int [n], past: keys and values of each layer, [n, heads, p, d]
        -> logits [n, t, vocab], keys and values of each layer [n, heads, p + t, d], last hidden states [n, t, width]
        """
        before, t = past[0].shape[2], tokens.shape[1]
        slots = torch.arange(before + t)  # of the keys
        new = slots[before:]  # of the queries
        x, turn = self.gpt.embed(tokens, (new[None] - padding[:, None]).clamp(min=0))
        # Padding attends to itself, since a softmax over nothing is NaN.
        seen = (slots >= padding[:, None, None]) | (slots == new[:, None])  # [n, t, p + t]
        mask = (seen & (slots <= new[:, None]))[:, None]
        present: list[Tensor] = []
        for block, keys, values in zip(self.gpt.blocks, past[::2], past[1::2], strict=True):
            x, kept = block(x, turn, (keys, values), mask)
            present += kept
        hidden = self.gpt.norm(x)
        return self.gpt.head(hidden), *present, hidden


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

    def embed(self, tokens: Tensor, positions: Tensor) -> tuple[Tensor, Pair | None]:
        """[n, t, width]: token embeddings, plus position embeddings (learned) or with rotary angles."""
        x = self.tokens(tokens)
        if self.positions is not None:
            return self.dropout(x + self.positions(positions)), None
        return self.dropout(x), rotation(positions, self.cache[1])

    def loss(self, tokens: Tensor, targets: Tensor) -> Tensor:
        """Mean cross-entropy in nats. tokens, targets: int [n, t]"""
        return F.cross_entropy(self.fast(tokens).flatten(0, 1), targets.flatten().long())


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
