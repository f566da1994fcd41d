"""Classes of texts: bidirectional recurrent networks, and the mean of embeddings as their baseline.

All end in one linear layer on pooled features, so every logit is a sum over tokens. With h_t the features at token t
and L the number of tokens

    logit = b + sum_t [ w_mean . h_t / L + sum_{j: h_tj is the maximum} w_max_j h_tj ]

where the bracket is the exact contribution of token t, in its context, to the log-odds. Tokens within TIE of a maximum
share it equally; otherwise rounding would decide if states saturate. Two classes have one logit, the log-odds of the
second; k > 2 classes have k, of a softmax.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torch.nn import functional as F

from models.graph import Graph

PAD, UNKNOWN = 0, 1
TIE = 1e-3


def inside(x: Tensor, lengths: Tensor) -> Tensor:
    """Mask of tokens, False in the padding. x: [n, t, ...], lengths: [n] -> bool [n, t]"""
    return torch.arange(x.shape[1], device=x.device) < lengths[:, None]


def reverse(x: Tensor, lengths: Tensor) -> Tensor:
    """Reverses every row within its length; the padding stays. x: [n, t, d], lengths: [n]"""
    t = torch.arange(x.shape[1], device=x.device)
    index = torch.where(inside(x, lengths), lengths[:, None] - 1 - t, t)  # [n, t]
    return x.gather(1, index[:, :, None].expand(-1, -1, x.shape[2]))


class Classifier(pl.LightningModule, ABC):
    """Token ids -> log-odds of the second of two classes, or the logits of more.

    Args:
        embedding: [vocabulary, d], initial value: its first `width` columns, noise beyond.
        width: of a token's embedding.
        hidden: size of the recurrent state per direction.
        dropout: of embedding channels, over whole texts, and of pooled features.
        word_dropout: share of tokens replaced by the unknown one.
        lr: peak of the one-cycle schedule (Smith, "Super-Convergence", 2018).
        weight_decay: of AdamW.
        classes: at least two.
    """

    maximum = True  # pools by maximum over time as well as by mean

    def __init__(
        self,
        embedding: np.ndarray,
        width: int,
        hidden: int,
        dropout: float,
        word_dropout: float,
        lr: float,
        weight_decay: float,
        classes: int = 2,
    ) -> None:
        super().__init__()
        self.dropout, self.word_dropout, self.lr, self.weight_decay = dropout, word_dropout, lr, weight_decay
        self.embedding = nn.Embedding(len(embedding), width, padding_idx=PAD)
        nn.init.normal_(self.embedding.weight, std=0.1)
        with torch.no_grad():
            known = torch.as_tensor(embedding[:, :width])
            self.embedding.weight[:, : known.shape[1]] = known
            self.embedding.weight[PAD] = 0
        features = self.build(width, hidden)
        self.binary = classes == 2
        outputs = 1 if self.binary else classes
        self.mean = nn.Linear(features, outputs)
        self.max = nn.Linear(features, outputs, bias=False) if self.maximum else None

    @abstractmethod
    def build(self, width: int, hidden: int) -> int:
        """Makes the layers of `encode`; returns the number of its features."""

    @abstractmethod
    def encode(self, e: Tensor, lengths: Tensor) -> Tensor:
        """Embeddings [n, t, width] -> features [n, t, d]"""

    def features(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """x: int [n, t] -> features [n, t, d], 0 in the padding; their maxima [n, d]"""
        if self.training and self.word_dropout:
            x = x.masked_fill((torch.rand(x.shape, device=x.device) < self.word_dropout) & (x != PAD), UNKNOWN)
        e = self.embedding(x)
        if self.training:
            e = e * F.dropout(torch.ones_like(e[:, :1]), self.dropout)
        mask = inside(x, lengths)[:, :, None]
        h = self.encode(e, lengths)
        return h.masked_fill(~mask, 0), h.masked_fill(~mask, -torch.inf).amax(dim=1)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """x: int [n, t] padded on the right, lengths: [n] -> log-odds [n], or logits [n, classes]"""
        return self.pool(*self.features(x, lengths), lengths)

    def pool(self, h: Tensor, highest: Tensor, lengths: Tensor) -> Tensor:
        """h, highest: of `features`; lengths: [n] -> as `forward`"""
        logit = self.mean(F.dropout(h.sum(dim=1) / lengths[:, None], self.dropout, self.training))
        if self.max is not None:
            logit = logit + self.max(F.dropout(highest, self.dropout, self.training))
        return logit.squeeze(-1) if self.binary else logit

    def explain(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """-> as `forward`, and contribution of each token, [n, t] or [n, t, classes]

        A logit is its bias in `mean` plus the sum of its contributions.
        """
        h, highest = self.features(x, lengths)
        share = h @ self.weights(self.mean) / (lengths[:, None] if self.binary else lengths[:, None, None])
        if self.max is not None:
            top = ((h > highest[:, None] - TIE) & inside(x, lengths)[:, :, None]).float()
            share = share + (top / top.sum(dim=1, keepdim=True) * highest[:, None]) @ self.weights(self.max)
        return self.pool(h, highest, lengths), share

    def weights(self, layer: nn.Linear) -> Tensor:
        """[d], or [d, classes]"""
        return layer.weight[0] if self.binary else layer.weight.T

    def graphs(self, example: tuple[Tensor, ...]) -> dict[str, Graph]:
        """model.onnx: see `explain`. example: tokens int [n, t], lengths [n]"""
        free = {"tokens": {0: "batch", 1: "time"}, "lengths": {0: "batch"}}
        inputs = dict(zip(("tokens", "lengths"), example, strict=True))
        # The newer exporter fixes an output's shape to the example's length, and ONNX Runtime warns of any other.
        return {"model.onnx": Graph(Explained(self).eval(), inputs, ("logit", "contributions"), free, dynamo=False)}

    def training_step(self, batch: tuple[Tensor, Tensor, Tensor], _: int) -> Tensor:
        """batch: tokens int [n, t], lengths [n], y as of `loss`"""
        x, lengths, y = batch
        return self.loss(self(x, lengths).float(), y)

    def validation_step(self, batch: tuple[Tensor, Tensor, Tensor], _: int) -> None:
        """batch: as of `training_step`"""
        x, lengths, y = batch
        logit = self(x, lengths).float()
        right = (logit > 0) == (y > 0.5) if self.binary else logit.argmax(dim=1) == y
        self.log("val_loss", self.loss(logit, y), sync_dist=True, batch_size=len(x))
        self.log("val_accuracy", right.float().mean(), sync_dist=True, batch_size=len(x))

    def loss(self, logit: Tensor, y: Tensor) -> Tensor:
        """y: the second of two classes as 0 or 1, or the numbers of the classes; float [n]"""
        return F.binary_cross_entropy_with_logits(logit, y) if self.binary else F.cross_entropy(logit, y.long())

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        optimizer = torch.optim.AdamW(self.parameters(), self.lr, weight_decay=self.weight_decay)
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, self.lr, total_steps=steps, pct_start=0.25)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class Explained(nn.Module):
    """The exported module: `explain` as `forward`."""

    def __init__(self, model: Classifier) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        return self.model.explain(x, lengths)


class MeanEmbedding(Classifier):
    """Ignores word order (fastText's classifier without n-grams, Joulin et al., 2016)."""

    maximum = False

    def build(self, width: int, hidden: int) -> int:
        return width

    def encode(self, e: Tensor, lengths: Tensor) -> Tensor:
        return e


class TextCNN(Classifier):
    """Convolutions over 3, 4 and 5 tokens (Kim, "Convolutional Neural Networks for Sentence Classification", 2014)."""

    def build(self, width: int, hidden: int) -> int:
        self.convolutions = nn.ModuleList(nn.Conv1d(width, hidden, size, padding="same") for size in (3, 4, 5))
        return 3 * hidden

    def encode(self, e: Tensor, lengths: Tensor) -> Tensor:
        x = e.transpose(1, 2)
        return torch.cat([F.relu(convolve(x)).transpose(1, 2) for convolve in self.convolutions], dim=2)


class Recurrent(Classifier):
    """One network reads forwards and one backwards; the features are their states and the embedding.

    A bidirectional layer would need packed sequences, because the backward half would begin in the padding. Reversing
    each row within its length gives the same states and allows oneDNN's fused kernels, which don't support packing:
    five times as fast on a CPU.
    """

    cell: Callable[..., nn.RNNBase]

    def build(self, width: int, hidden: int) -> int:
        self.forwards = self.cell(width, hidden, batch_first=True)
        self.backwards = self.cell(width, hidden, batch_first=True)
        return 2 * hidden + width

    def encode(self, e: Tensor, lengths: Tensor) -> Tensor:
        ahead, _ = self.forwards(e)
        back, _ = self.backwards(reverse(e, lengths))
        return torch.cat([ahead, reverse(back, lengths), e], dim=2)


class RNN(Recurrent):
    """Elman's network (1990)."""

    cell = nn.RNN


class LSTM(Recurrent):
    """Long short-term memory (Hochreiter and Schmidhuber, 1997)."""

    cell = nn.LSTM


class GRU(Recurrent):
    """Gated recurrent unit (Cho et al., 2014)."""

    cell = nn.GRU
