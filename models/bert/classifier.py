"""What BERT is fine-tuned for: a class of a text (Devlin et al., 2019, section 3.2).

Shapes: n texts of t tokens, padded on the right; `width` values per token.
"""

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.bert.encoder import initialise, mean, sentence_vectors
from models.bert.published import config_of, to_transformers
from models.bert.tasks import Published, Start, Task, encoder_of, inside, may_be_masked
from models.graph import Graph


class Classifier(Task):
    """One linear layer on a vector of the text.

    Args:
        start: what fine-tuning starts from.
        encoder: see `encoder_of`.
        classes: their number.
        mask, special: as of MaskedLanguageModel, for `word_dropout`.
        pooling: first: [CLS] through the pooler (section 3.2); mean: over all tokens, which needs no pooler.
        frozen: only the head (and the pooler) learns.
        publish: the bundle also has the weights, from which another training can start.
        word_dropout: share of the tokens that are masked in training, anew in each step (Iyyer et al., "Deep Unordered
            Composition Rivals Syntactic Methods for Text Classification", 2015, section 4.1).
    """

    def __init__(
        self,
        start: Start,
        classes: int,
        lr: float,
        decay: float = 0.95,
        warmup: float = 0.1,
        weight_decay: float = 0.01,
        encoder: Mapping[str, Any] | None = None,
        pooling: Literal["first", "mean"] = "first",
        frozen: bool = False,
        publish: bool = False,
        mask: int = 0,
        special: tuple[int, ...] = (),
        word_dropout: float = 0.0,
    ) -> None:
        super().__init__(encoder_of(start, encoder), lr, decay, warmup, weight_decay)
        self.pooling, self.publish = pooling, publish
        self.mask, self.special, self.word_dropout = mask, special, word_dropout
        self.dropout, self.head = nn.Dropout(self.bert.shape.dropout), nn.Linear(self.bert.shape.width, classes)
        initialise(self.head)
        if frozen:
            for name, parameter in self.bert.named_parameters():
                parameter.requires_grad = name.startswith("pooler")

    def forward(self, tokens: Tensor, seen: Tensor | None = None, types: Tensor | None = None) -> Tensor:
        """As Bert's -> logits [n, classes]"""
        return self.logits(self.bert(tokens, seen, types), seen)

    def logits(self, hidden: Tensor, seen: Tensor | None) -> Tensor:
        """hidden: [n, t, width], seen: bool [n, t] -> logits [n, classes]"""
        if seen is None:
            seen = torch.ones_like(hidden[:, :, 0], dtype=torch.bool)
        vector = mean(hidden, seen) if self.pooling == "mean" else self.bert.pool(hidden)
        return self.head(self.dropout(vector))

    def training_step(self, batch: tuple[Tensor, Tensor, Tensor], _: int) -> Tensor:
        """batch: tokens int [n, t], lengths int [n], classes int [n]"""
        tokens, lengths, y = batch
        tokens, seen = tokens.long(), inside(tokens, lengths)
        if self.word_dropout:
            drawn = torch.rand(tokens.shape, device=tokens.device) < self.word_dropout
            tokens = tokens.masked_fill(drawn & may_be_masked(tokens, seen, self.special), self.mask)
        return F.cross_entropy(self(tokens, seen).float(), y)

    def validation_step(self, batch: tuple[Tensor, Tensor, Tensor], _: int) -> None:
        """batch: as of `training_step`"""
        tokens, lengths, y = batch
        logits = self(tokens.long(), inside(tokens, lengths)).float()
        self.log("val_loss", F.cross_entropy(logits, y), sync_dist=True, batch_size=len(y))
        self.log("val_accuracy", (logits.argmax(1) == y).float().mean(), sync_dist=True, batch_size=len(y))

    def published(self) -> Published:
        """What `start` takes, and transformers' BertModel; of BertForSequenceClassification if pooling is `first`."""
        return {"config": config_of(self.bert.shape), "state": to_transformers(self.state_dict())}

    def graphs(self, example: tuple[Tensor, ...]) -> dict[str, Graph]:
        """model.onnx: tokens int64 [n, t], seen bool [n, t] -> logits [n, classes], vectors [n, width]

        example: tokens int [n, t], lengths int [n]
        """
        tokens, lengths = example
        inputs = {"tokens": tokens.long(), "seen": inside(tokens, lengths)}
        dynamic = {name: {0: "batch", 1: "length"} for name in inputs}
        return {"model.onnx": Graph(Served(self), inputs, ("logits", "vectors"), dynamic)}


class Served(nn.Module):
    """The exported module."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, tokens: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
        """tokens: int [n, t], seen: bool [n, t] -> logits [n, classes], vectors [n, width] of length 1"""
        hidden = self.classifier.bert(tokens, seen)
        return self.classifier.logits(hidden, seen), sentence_vectors(hidden, seen)
