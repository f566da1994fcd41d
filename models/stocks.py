"""Quantiles of the return over the next days: an LSTM, and a temporal convolution network, with the same head.

Both read a history and predict the returns of each horizon as multiples of the current volatility. They are
initialised to the quantiles of the training period, so that training only has to learn deviations.
"""

from abc import ABC, abstractmethod

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torch.nn import functional as F

from models.graph import Graph


def pinball(quantiles: Tensor, y: Tensor, levels: Tensor) -> Tensor:
    """Koenker and Bassett (1978). quantiles: [n, h, q], y: [n, h], levels: [q] -> [n, h, q]"""
    error = y[..., None] - quantiles
    return torch.maximum(levels * error, (levels - 1) * error)


class Quantiles(nn.Module):
    """Features -> non-crossing quantiles: a median, and positive steps to either side.

    The steps are learned constants times one factor that depends on the features: the history decides the width, not
    the direction. With `direction` it moves the median too.

    start: [h, q], q odd, the initial output
    """

    def __init__(self, width: int, start: Tensor, direction: bool) -> None:
        super().__init__()
        self.horizons, self.side = len(start), start.shape[1] // 2
        steps = start.diff(dim=1).clamp(min=1e-3)
        self.middle = nn.Parameter(start[:, self.side, None].clone())  # [h, 1]
        self.steps = nn.Parameter(steps + torch.log(-torch.expm1(-steps)))  # [h, q - 1]; softplus(this) is `steps`
        self.widths = nn.Linear(width, self.horizons * self.side)
        self.shifts = nn.Linear(width, self.horizons) if direction else None
        for layer in filter(None, (self.widths, self.shifts)):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, h: Tensor) -> Tensor:
        """h: [n, width] -> [n, h, q]"""
        # From the median outwards; e^4 is wider than any market and keeps extreme inputs finite.
        factors = self.widths(h).view(-1, self.horizons, self.side).clamp(-4, 4).exp()
        steps = F.softplus(self.steps) * torch.cat([factors.flip(-1), factors], dim=-1)
        below = steps[..., : self.side].flip(-1).cumsum(-1).flip(-1)
        above = steps[..., self.side :].cumsum(-1)
        quantiles = torch.cat([-below, torch.zeros_like(below[..., :1]), above], dim=-1) + self.middle
        return quantiles if self.shifts is None else quantiles + self.shifts(h)[..., None]


class Forecaster(pl.LightningModule, ABC):
    """Base of both: standardisation of the channels, loss, optimizer.

    Args:
        mean, std: of the channels in the training period, [c].
        start: of the scaled training returns, the quantiles by horizon: [h][q].
        horizons: in days. levels: of the quantiles.
        hidden: width of the encoder.
        dropout: on the input of the head.
        direction: whether the history may move the median.
        lr: initial; it falls to zero along a cosine. weight_decay: on weights, not on biases.
    """

    mean: Tensor
    std: Tensor
    levels: Tensor
    root: Tensor

    def __init__(
        self,
        mean: list[float],
        std: list[float],
        start: list[list[float]],
        horizons: list[int],
        levels: list[float],
        hidden: int,
        dropout: float,
        direction: bool,
        lr: float,
        weight_decay: float,
    ) -> None:
        super().__init__()
        self.lr, self.weight_decay = lr, weight_decay
        self.register_buffer("mean", torch.tensor(mean))
        self.register_buffer("std", torch.tensor(std))
        self.register_buffer("levels", torch.tensor(levels))
        self.register_buffer("root", torch.tensor(horizons).float().sqrt())
        self.encoder = self.encode(len(mean), hidden)
        self.dropout = nn.Dropout(dropout)
        self.head = Quantiles(hidden, torch.tensor(start), direction)

    @abstractmethod
    def encode(self, channels: int, hidden: int) -> nn.Module:
        """-> a module [n, t, channels] -> [n, hidden]"""

    def forward(self, x: Tensor, scale: Tensor) -> Tensor:
        """x: [n, t, c], scale: [n] -> quantiles of the log-return over each horizon: [n, h, q]"""
        return self.multiples(x) * (scale[:, None] * self.root)[..., None]

    def multiples(self, x: Tensor) -> Tensor:
        """The same in multiples of `scale` times the root of the horizon, the spread of a random walk.

        x: [n, t, c] -> [n, h, q]
        """
        return self.head(self.dropout(self.encoder((x - self.mean) / self.std)))

    def loss(self, x: Tensor, scale: Tensor, y: Tensor) -> Tensor:
        """In multiples, so that calm and turbulent days, and all horizons, have equal weight.

        x: [n, t, c], scale: [n], y: log-returns [n, h]
        """
        return pinball(self.multiples(x), y / (scale[:, None] * self.root), self.levels).mean()

    def training_step(self, batch: tuple[Tensor, Tensor, Tensor], _: int) -> Tensor:
        """batch: as of `loss`"""
        return self.loss(*batch)

    def validation_step(self, batch: tuple[Tensor, Tensor, Tensor], _: int) -> None:
        """batch: as of `loss`"""
        self.log("val_loss", self.loss(*batch), sync_dist=True, batch_size=len(batch[0]))

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        weights = [p for name, p in self.named_parameters() if p.ndim > 1 and "weight" in name]
        others = [p for name, p in self.named_parameters() if not (p.ndim > 1 and "weight" in name)]
        groups = [{"params": weights, "weight_decay": self.weight_decay}, {"params": others, "weight_decay": 0.0}]
        optimizer = torch.optim.AdamW(groups, self.lr)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, int(self.trainer.estimated_stepping_batches))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def graphs(self, example: tuple[Tensor, ...]) -> dict[str, Graph]:
        """model.onnx: see `forward`. example: x [n, t, c], scale [n]"""
        x, scale = example
        free = {"x": {0: "batch"}, "scale": {0: "batch"}}
        return {"model.onnx": Graph(self, {"x": x, "scale": scale}, ("y",), free)}


class Recurrent(nn.Module):
    """An LSTM (Hochreiter and Schmidhuber, 1997); its last output is used."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(channels, hidden, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        """[n, t, channels] -> [n, hidden]"""
        return self.lstm(x)[0][:, -1]


class Convolutions(nn.Module):
    """Dilated causal convolutions with residuals (Bai, Kolter and Koltun, 2018): 1 + 2 (1 + 2 + 4 + 8) = 31 days."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.enter = nn.Conv1d(channels, hidden, 1)
        self.blocks = nn.ModuleList(nn.Conv1d(hidden, hidden, 3, dilation=2**n) for n in range(4))

    def forward(self, x: Tensor) -> Tensor:
        """[n, t, channels] -> [n, hidden]"""
        h = self.enter(x.transpose(1, 2))  # [n, hidden, t]
        for n, block in enumerate(self.blocks):
            h = h + F.relu(block(F.pad(h, (2 * 2**n, 0))))  # causal: padded on the left only
        return h[..., -1]


class LSTM(Forecaster):
    def encode(self, channels: int, hidden: int) -> nn.Module:
        return Recurrent(channels, hidden)


class TCN(Forecaster):
    def encode(self, channels: int, hidden: int) -> nn.Module:
        return Convolutions(channels, hidden)
