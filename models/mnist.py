"""A small convolutional network for handwritten digits.

Three convolutions, each twice as wide as the one before, and one linear layer. No normalisation: 99.4% needs none, and
a data-parallel run then computes the same as a single process.
"""

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torch.nn import functional as F


def random_shift(x: Tensor, most: int) -> Tensor:
    """Shifts each image by up to `most` pixels each way, in one gather for the whole batch. x: [n, 1, h, w]"""
    n, _, h, w = x.shape
    padded = F.pad(x[:, 0], (most, most, most, most))  # [n, h + 2m, w + 2m]
    windows = padded.unfold(1, h, 1).unfold(2, w, 1)  # [n, 2m + 1, 2m + 1, h, w], a view
    down, right = torch.randint(0, 2 * most + 1, (n, 2, 1), device=x.device).squeeze(-1).unbind(1)  # [n] each
    return windows[torch.arange(n, device=x.device), down, right][:, None]


class CNN(pl.LightningModule):
    """Digits from grey images of `size` x `size`.

    Args:
        size: 28 (MNIST) or 8 (scikit-learn's digits); any multiple of 4.
        mean, std: of the training pixels, in [0, 1].
        width: channels of the first convolution.
        lr: peak of the one-cycle schedule (Smith, "Super-Convergence", 2018).
        weight_decay: on weights, not on biases.
        shift: augmentation, largest shift in pixels.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, size: int, mean: float, std: float, width: int, lr: float, weight_decay: float, shift: int
    ) -> None:
        super().__init__()
        self.lr, self.weight_decay, self.shift = lr, weight_decay, shift
        self.register_buffer("mean", torch.tensor(mean))
        self.register_buffer("std", torch.tensor(std))
        self.layers = nn.Sequential(
            nn.Conv2d(1, width, 5, padding=2),  # [n, w, size, size]
            nn.MaxPool2d(2),  # before the ReLU: the same result on a quarter of the values
            nn.ReLU(),  # [n, w, size / 2, size / 2]
            nn.Conv2d(width, 2 * width, 3, padding=1),
            nn.MaxPool2d(2),
            nn.ReLU(),  # [n, 2w, size / 4, size / 4]
            nn.Conv2d(2 * width, 4 * width, 3, padding=1),
            nn.ReLU(),
            nn.Flatten(),  # [n, 4w * (size / 4)^2]
            nn.Linear(4 * width * (size // 4) ** 2, 10),
        )
        for layer in self.layers:
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                nn.init.constant_(layer.bias, 0)  # type: ignore[arg-type]
        self.to(memory_format=torch.channels_last)

    def forward(self, x: Tensor) -> Tensor:
        """x: [n, 1, size, size] from 0 to 1 -> logits: [n, 10]"""
        return self.layers((x - self.mean) / self.std)

    def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
        """batch: x [n, 1, size, size] from 0 to 1, digits int [n]"""
        x, y = batch
        return F.cross_entropy(self(random_shift(x, self.shift) if self.shift else x), y)

    def validation_step(self, batch: tuple[Tensor, Tensor], _: int) -> None:
        """batch: as of `training_step`"""
        x, y = batch
        logits = self(x)
        self.log("val_loss", F.cross_entropy(logits, y), sync_dist=True, batch_size=len(x))
        self.log("val_accuracy", (logits.argmax(1) == y).float().mean(), sync_dist=True, batch_size=len(x))

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        weights = [p for p in self.parameters() if p.ndim > 1]
        biases = [p for p in self.parameters() if p.ndim <= 1]
        groups = [{"params": weights, "weight_decay": self.weight_decay}, {"params": biases, "weight_decay": 0.0}]
        optimizer = torch.optim.SGD(groups, self.lr, momentum=0.9, nesterov=True)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer,
            self.lr,
            total_steps=int(self.trainer.estimated_stepping_batches),
            pct_start=0.25,
            cycle_momentum=False,
            div_factor=10,
            final_div_factor=1000,
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
