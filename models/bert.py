"""BERT: Devlin et al., "BERT: Pre-training of Deep Bidirectional Transformers for Language Understanding" (2019).

An encoder whose tokens attend to all others, left and right; it is pre-trained by predicting
masked tokens (section 3.1) and fine-tuned for a task (section 3.2).

Shapes: n sequences of t tokens, `width` values per token, in `heads` heads.
"""

from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torch.nn import functional as F

ParameterGroup = dict[str, Any]  # as torch.optim takes them: `params`, and the settings for these
IGNORE = -100  # targets that F.cross_entropy leaves out


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
        y = F.scaled_dot_product_attention(q, k, v, seen, self.dropout if self.training else 0.0)
        return self.project(y.transpose(1, 2).flatten(2))


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


def sentence_vectors(hidden: Tensor, seen: Tensor) -> Tensor:
    """The mean over tokens, of length 1 (Reimers and Gurevych, "Sentence-BERT", 2019, section 3).

    hidden: [n, t, width], seen: bool [n, t] -> [n, width]
    """
    weights = seen[:, :, None].type_as(hidden)
    return F.normalize((hidden * weights).sum(dim=1) / weights.sum(dim=1), dim=1)


def mask_tokens(
    tokens: Tensor, free: Tensor, mask: int, vocab: int, generator: torch.Generator, share: float = 0.15
) -> tuple[Tensor, Tensor]:
    """Masking for pre-training (section 3.1): of the selected tokens 80% become [MASK], 10% a random token and 10%
    stay, because [MASK] doesn't occur in fine-tuning.

    tokens: int [n, t]; free: bool [n, t], tokens that may be selected (not padding, not [CLS]); mask: id of [MASK]
    -> inputs [n, t]; targets [n, t], IGNORE where nothing was selected
    """
    chance, action = (torch.rand(tokens.shape, generator=generator) for _ in range(2))
    others = torch.randint(vocab, tokens.shape, generator=generator)
    selected = free & (chance < share)
    read = torch.where(selected & (action < 0.8), mask, tokens)
    read = torch.where(selected & (action >= 0.9), others, read)
    return read, tokens.masked_fill(~selected, IGNORE)


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
    """Predicts masked tokens (section 3.1). The output matrix is tied to the embedding."""

    def __init__(self, bert: Bert, lr: float, decay: float = 1.0, warmup: float = 0.1, weight_decay: float = 0.01):
        super().__init__(bert, lr, decay, warmup, weight_decay)
        shape = bert.shape
        self.transform, self.norm = nn.Linear(shape.width, shape.width), nn.LayerNorm(shape.width, shape.eps)
        self.bias = nn.Parameter(torch.zeros(shape.vocab))
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
        return F.cross_entropy(self.logits(self.bert(read, seen)[selected]), targets[selected])

    def training_step(self, batch: tuple[Tensor, Tensor, Tensor], _: int) -> Tensor:
        """batch: as of `loss`"""
        return self.loss(*batch)

    def validation_step(self, batch: tuple[Tensor, Tensor, Tensor], _: int) -> None:
        """batch: as of `loss`"""
        self.log("val_loss", self.loss(*batch), sync_dist=True, batch_size=len(batch[0]))


class Classifier(Task):
    """One linear layer on the pooled vector (section 3.2)."""

    def __init__(
        self, bert: Bert, classes: int, lr: float, decay: float = 0.95, warmup: float = 0.1, weight_decay: float = 0.01
    ) -> None:
        super().__init__(bert, lr, decay, warmup, weight_decay)
        self.dropout, self.head = nn.Dropout(bert.shape.dropout), nn.Linear(bert.shape.width, classes)
        initialise(self.head)

    def forward(self, tokens: Tensor, seen: Tensor | None = None, types: Tensor | None = None) -> Tensor:
        """As Bert's -> logits [n, classes]"""
        return self.head(self.dropout(self.bert.pool(self.bert(tokens, seen, types))))

    def training_step(self, batch: tuple[Tensor, Tensor, Tensor], _: int) -> Tensor:
        """batch: tokens int [n, t], seen bool [n, t], classes int [n]"""
        tokens, seen, y = batch
        return F.cross_entropy(self(tokens, seen), y)

    def validation_step(self, batch: tuple[Tensor, Tensor, Tensor], _: int) -> None:
        """batch: as of `training_step`"""
        tokens, seen, y = batch
        logits = self(tokens, seen)
        self.log("val_loss", F.cross_entropy(logits, y), sync_dist=True, batch_size=len(y))
        self.log("val_accuracy", (logits.argmax(1) == y).float().mean(), sync_dist=True, batch_size=len(y))


# Our names of parts, and those of transformers' classes; longer ones first.
NAMES = {
    "attention.project": "attention.output.dense",
    "attention.q": "attention.self.query",
    "attention.k": "attention.self.key",
    "attention.v": "attention.self.value",
    "norm_1": "attention.output.LayerNorm",
    "expand": "intermediate.dense",
    "contract": "output.dense",
    "norm_2": "output.LayerNorm",
}
OUTER = {
    "bert.tokens": "bert.embeddings.word_embeddings",
    "bert.positions": "bert.embeddings.position_embeddings",
    "bert.types": "bert.embeddings.token_type_embeddings",
    "bert.norm": "bert.embeddings.LayerNorm",
    "bert.pooler": "bert.pooler.dense",
    "transform": "cls.predictions.transform.dense",
    "norm": "cls.predictions.transform.LayerNorm",
    "head": "classifier",
}
OURS, OUTER_OURS = ({theirs: ours for ours, theirs in names.items()} for names in (NAMES, OUTER))


def to_transformers(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights of a Task under the names of transformers' BertForMaskedLM or BertForSequenceClassification; of
    its `bert` alone, those of BertModel behind "bert."."""
    renamed = {}
    for name, value in state.items():
        part, _, leaf = name.rpartition(".")
        if name == "bias":
            renamed["cls.predictions.bias"] = renamed["cls.predictions.decoder.bias"] = value
        elif part.startswith("bert.blocks."):
            index, _, inner = part.removeprefix("bert.blocks.").partition(".")
            renamed[f"bert.encoder.layer.{index}.{NAMES[inner]}.{leaf}"] = value
        else:
            renamed[f"{OUTER[part]}.{leaf}"] = value
    return renamed


def from_transformers(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The way back. Buffers, and the output matrix, which is the embedding's, have no place here."""
    renamed = {}
    for name, value in state.items():
        part, _, leaf = name.rpartition(".")
        if name == "cls.predictions.bias":
            renamed["bias"] = value
        elif part.startswith("bert.encoder.layer."):
            index, _, inner = part.removeprefix("bert.encoder.layer.").partition(".")
            renamed[f"bert.blocks.{index}.{OURS[inner]}.{leaf}"] = value
        elif part in OUTER_OURS:
            renamed[f"{OUTER_OURS[part]}.{leaf}"] = value
    return renamed
