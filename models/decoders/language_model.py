"""What the decoders share: loss, optimizer, schedule, and the exported graph with its KV cache.

Shapes: n sequences of t tokens, `width` values per token; a layer keeps keys and values in some `heads` of d values.
"""

import math
from abc import ABC, abstractmethod
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torch.distributed import ProcessGroup
from torch.nn import functional as F

from models.decoders.muon import MuonAdamW
from models.decoders.parallel import Shard, parallelise
from models.decoders.pipeline import Pipeline
from models.graph import Graph


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

    tokens: nn.Module
    blocks: nn.ModuleList
    norm: nn.Module
    head: nn.Module

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
        self.criterion = F.cross_entropy  # of logits [n t, vocab] and targets [n t]; tensor parallelism has its own
        self.pipeline: Pipeline | None = None

    @abstractmethod
    def embed(self, tokens: Tensor, positions: Tensor) -> Tensor:
        """tokens: int [n, t], positions: int [n or 1, t] -> [n, t, width]"""

    @abstractmethod
    def turns(self, positions: Tensor) -> object:
        """What every block needs to know of positions, int [n or 1, t]: rotations, if they are rotary."""

    def forward(self, tokens: Tensor) -> Tensor:
        """tokens: int [n, t], t at most `block` -> logits of the token after each: [n, t, vocab]"""
        return self._logits(tokens)

    def _logits(self, tokens: Tensor) -> Tensor:
        positions = torch.arange(tokens.shape[1], device=tokens.device)[None]
        x, turn = self.embed(tokens, positions), self.turns(positions)
        for block in self.blocks:
            x, _ = block(x, turn)
        return self.head(self.norm(x))

    def nats(self, tokens: Tensor, targets: Tensor) -> Tensor:
        """Mean cross-entropy. tokens, targets: int [n, t]"""
        if self.pipeline is not None:
            return self.pipeline(tokens, targets)
        return self.criterion(self(tokens).flatten(0, 1), targets.flatten().long())

    def loss(self, tokens: Tensor, targets: Tensor) -> Tensor:
        """What training minimises. tokens, targets: int [n, t]"""
        return self.nats(tokens, targets)

    def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
        """batch: tokens and targets, int [n, t] each"""
        return self.loss(*batch)

    def validation_step(self, batch: tuple[Tensor, Tensor], _: int) -> None:
        """batch: as of `training_step`"""
        tokens, targets = batch
        loss = self.nats(tokens, targets)
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

    def divide(self, group: ProcessGroup) -> dict[str, Shard]:
        """Tensor parallelism: keeps this process's part of each matrix. Returns the divided weights by name."""
        return parallelise(self, group)

    def cut(self, group: ProcessGroup, microbatches: int, schedule: str, data: ProcessGroup | None) -> set[str]:
        """Pipeline parallelism: keeps this process's stage. The arguments are of Pipeline.

        Returns the names of weights that an earlier stage has as well.
        """
        self.pipeline = Pipeline(self, group, microbatches, schedule, data)
        return {"tokens.weight"} if self.pipeline.shared is not None and group.rank() else set()

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
        positions = (new[None] - padding[:, None]).clamp(min=0)
        x, turn = self.gpt.embed(tokens, positions), self.gpt.turns(positions)
        # Padding attends to itself, since a softmax over nothing is NaN.
        seen = (slots >= padding[:, None, None]) | (slots == new[:, None])  # [n, t, p + t]
        mask = (seen & (slots <= new[:, None]))[:, None]
        present: list[Tensor] = []
        for block, keys, values in zip(self.gpt.blocks, past[::2], past[1::2], strict=True):
            x, kept = block(x, turn, (keys, values), mask)
            present += kept
        hidden = self.gpt.norm(x)
        return self.gpt.head(hidden), *present, hidden
