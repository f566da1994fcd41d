"""What BERT is pre-trained for, masked tokens (Devlin et al., 2019, section 3.1), and what its tasks share.

Shapes: n texts of t tokens, padded on the right; `width` values per token.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypedDict

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torch.nn import functional as F

from models.bert.encoder import Bert, Shape, initialise
from models.bert.published import build
from models.graph import Graph

ParameterGroup = dict[str, Any]  # as torch.optim takes them: `params`, and the settings for these
IGNORE = -100  # targets that F.cross_entropy leaves out
SEED = 0  # of the masks in validation


class Blank(TypedDict):
    """An encoder without weights."""

    vocab: int
    context: int


class Published(TypedDict):
    """Published weights: config.json, and the tensors by transformers' names."""

    config: Mapping[str, object]
    state: Mapping[str, Tensor]


Start = Bert | Blank | Published


def encoder_of(start: Start, encoder: Mapping[str, Any] | None) -> Bert:
    """The encoder that training starts from; a copy of a trained one.

    encoder: width, layers, heads, hidden and dropout; of one that has weights, only the dropout counts
    """
    settings = dict(encoder or {})
    if not isinstance(start, Bert):
        if "config" not in start:
            return Bert(Shape(**start, types=1, **settings))
        start = build(start["config"], start["state"])  # type: ignore[typeddict-item]
    bert = Bert(replace(start.shape, dropout=settings.get("dropout", start.shape.dropout)))
    bert.load_state_dict(start.state_dict())
    return bert


def mask_tokens(
    tokens: Tensor,
    free: Tensor,
    mask: int,
    vocab: int,
    generator: torch.Generator | None = None,
    share: float = 0.15,
) -> tuple[Tensor, Tensor]:
    """Masking for pre-training (section 3.1): of the selected tokens 80% become [MASK], 10% a random token and 10%
    stay, because [MASK] doesn't occur in fine-tuning. It is drawn anew in every epoch (RoBERTa, Liu et al., 2019,
    section 4.1).

    tokens: int [n, t]; free: bool [n, t], tokens that may be selected (not padding, not [CLS]); mask: id of [MASK]
    -> inputs [n, t]; targets [n, t], IGNORE where nothing was selected
    """
    chance, action = (torch.rand(tokens.shape, generator=generator).to(tokens.device) for _ in range(2))
    others = torch.randint(vocab, tokens.shape, generator=generator).to(tokens)
    selected = free & (chance < share)
    read = torch.where(selected & (action < 0.8), mask, tokens)
    read = torch.where(selected & (action >= 0.9), others, read)
    return read, tokens.masked_fill(~selected, IGNORE)


def inside(tokens: Tensor, lengths: Tensor) -> Tensor:
    """False in the padding. tokens: [n, t], lengths: [n] -> bool [n, t]"""
    return torch.arange(tokens.shape[1], device=tokens.device) < lengths[:, None]


def may_be_masked(tokens: Tensor, seen: Tensor, special: tuple[int, ...]) -> Tensor:
    """Neither padding nor one of the special tokens. tokens: int [n, t], seen: bool [n, t] -> bool [n, t]"""
    return seen & ~torch.isin(tokens, torch.tensor(special, device=tokens.device))


class Task(pl.LightningModule):
    """An encoder with a head, trained by AdamW: linear warm-up, linear decay (appendix A.2).

    Args:
        lr: peak of the schedule, of the head and the last block.
        decay: factor of the learning rate from a block to the one below, so that general features change least; 1
            is one rate for all (Sun et al., "How to Fine-Tune BERT for Text Classification?", 2019, section 5.3.3).
        warmup: share of the steps.
        weight_decay: on matrices, not on vectors.
    """

    def __init__(self, bert: Bert, lr: float, decay: float, warmup: float, weight_decay: float) -> None:
        super().__init__()
        self.bert, self.lr, self.decay, self.warmup, self.weight_decay = bert, lr, decay, warmup, weight_decay

    def groups(self) -> list[ParameterGroup]:
        """Parameter groups by learning rate and weight decay; embeddings count as below the first block."""
        depth = len(self.bert.blocks)
        found: dict[tuple[int, bool], list[nn.Parameter]] = {}
        for name, parameter in self.named_parameters():
            if not parameter.requires_grad:
                continue
            path = name.split(".")
            if path[:2] == ["bert", "blocks"]:
                below = depth - 1 - int(path[2])
            else:
                below = depth if path[0] == "bert" and path[1] != "pooler" else 0
            found.setdefault((below, parameter.ndim > 1), []).append(parameter)
        return [
            {"params": params, "lr": self.lr * self.decay**below, "weight_decay": self.weight_decay * matrix}
            for (below, matrix), params in found.items()
        ]

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        optimizer = torch.optim.AdamW(self.groups(), fused=True)
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: self.pace(step, steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def pace(self, step: int, steps: int) -> float:
        """Fraction of the peak learning rate."""
        rising = max(1, round(self.warmup * steps))
        return min((step + 1) / rising, (steps - step) / max(1, steps - rising))


class MaskedLanguageModel(Task):
    """Predicts masked tokens (section 3.1). The output matrix is tied to the embedding.

    Args:
        start: what pre-training starts from.
        encoder: see `encoder_of`.
        mask: id of [MASK].
        special: ids below this are padding, [CLS] and the like, which are never masked.
        share: of the tokens that are masked.
    """

    def __init__(
        self,
        start: Start,
        lr: float,
        warmup: float = 0.1,
        weight_decay: float = 0.01,
        encoder: Mapping[str, Any] | None = None,
        mask: int = 0,
        special: tuple[int, ...] = (),
        share: float = 0.15,
    ) -> None:
        super().__init__(encoder_of(start, encoder), lr, 1.0, warmup, weight_decay)
        shape = self.bert.shape
        self.transform, self.norm = nn.Linear(shape.width, shape.width), nn.LayerNorm(shape.width, shape.eps)
        self.bias = nn.Parameter(torch.zeros(shape.vocab))
        self.mask, self.special, self.share = mask, special, share
        initialise(self.transform)

    def forward(self, tokens: Tensor, seen: Tensor | None = None, types: Tensor | None = None) -> Tensor:
        """As Bert's -> logits [n, t, vocab]"""
        return self.logits(self.bert(tokens, seen, types))

    def logits(self, hidden: Tensor) -> Tensor:
        """hidden: [..., width] -> logits [..., vocab]"""
        return F.linear(self.norm(F.gelu(self.transform(hidden))), self.bert.tokens.weight, self.bias)

    def loss(self, read: Tensor, seen: Tensor, targets: Tensor) -> Tensor:
        """Mean cross-entropy in nats over the masked tokens; logits of the others are not computed.

        read, targets: int [n, t], of `mask_tokens`; seen: bool [n, t]
        """
        selected = targets != IGNORE
        return F.cross_entropy(self.logits(self.bert(read, seen)[selected]).float(), targets[selected])

    def masked(self, batch: tuple[Tensor, Tensor], generator: torch.Generator | None = None) -> Tensor:
        """The loss on newly masked texts. batch: tokens int [n, t], lengths int [n]"""
        seen, tokens = inside(*batch), batch[0].long()
        free = may_be_masked(tokens, seen, self.special)
        read, targets = mask_tokens(tokens, free, self.mask, self.bert.shape.vocab, generator, self.share)
        targets[0, 0] = torch.where((targets != IGNORE).any(), targets[0, 0], tokens[0, 0])  # a mean of none is NaN
        return self.loss(read, seen, targets)

    def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
        """batch: as of `masked`"""
        return self.masked(batch)

    def validation_step(self, batch: tuple[Tensor, Tensor], _: int) -> None:
        """batch: as of `masked`; the masks are the same in each epoch"""
        loss = self.masked(batch, torch.Generator().manual_seed(SEED))
        self.log("val_loss", loss, sync_dist=True, batch_size=len(batch[0]))

    def graphs(self, example: tuple[Tensor, ...]) -> dict[str, Graph]:
        """None: only its encoder is used."""
        return {}
