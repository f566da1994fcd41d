"""Three convolutional networks for small colour images, and the recipe that trains them in minutes on a CPU.

The recipe follows Keller Jordan, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU" (2024), and David Page, "How to
Train Your ResNet" (2018): whole batches are augmented at once, a frozen first layer whitens patches, labels are
smoothed, the learning rate rises and falls linearly, and an average of the weights is shipped.
"""

from abc import ABC, abstractmethod

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EMAWeightAveraging
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torch.nn import functional as F


def flip_and_shift(x: Tensor, flip: Tensor, most: int) -> Tensor:
    """Mirrors the images selected by `flip` and shifts each by up to `most` pixels, in one gather for the whole batch.

    x: [n, h, w, c], flip: bool [n]. Edges are filled by reflection.
    """
    n, h, w, _ = x.shape
    down, right = torch.randint(-most, most + 1, (2, n, 1), device=x.device)
    rows = reflect(torch.arange(h, device=x.device) + down, h)  # [n, h]
    columns = reflect(torch.arange(w, device=x.device) + right, w)
    columns = torch.where(flip[:, None], w - 1 - columns, columns)
    return x[torch.arange(n, device=x.device)[:, None, None], rows[:, :, None], columns[:, None, :]]


def reflect(index: Tensor, size: int) -> Tensor:
    """Reflects positions beyond an edge: -1 -> 1, size -> size - 2. index: of any shape"""
    return size - 1 - (size - 1 - index.abs()).abs()


def cutout(x: Tensor, size: int) -> Tensor:
    """Cutout: blanks one square of each image, possibly cut by an edge (DeVries and Taylor, 2017). x: [n, c, h, w]"""
    n, _, h, w = x.shape
    top = torch.randint(0, h, (n, 1), device=x.device) - size // 2
    left = torch.randint(0, w, (n, 1), device=x.device) - size // 2
    y, z = torch.arange(h, device=x.device), torch.arange(w, device=x.device)
    rows, columns = (y >= top) & (y < top + size), (z >= left) & (z < left + size)  # [n, h], [n, w]
    return x.masked_fill((rows[:, :, None] & columns[:, None, :])[:, None], 0.0)


class Classifier(pl.LightningModule, ABC):
    """Base of the networks: input, augmentation, loss, optimizer, averaging. Subclasses define `network`.

    Args:
        size: height and width of the images.
        classes: number of classes.
        mean, std: of the training pixels in [0, 1], by channel.
        patches: covariance of the normalised 2x2 patches, [12][12], ordered channel, row, column.
        width: channels of the first layers; the later ones are multiples of it.
        lr: peak of the schedule.
        weight_decay: on weights, not on biases.
        smoothing: of the labels.
        shift, cutout: augmentation in pixels; mirroring is always part of it.
        average: decay per step of the average of the weights.
    """

    mean: Tensor
    std: Tensor
    bias_lr = 1.0  # learning rate of biases, as a multiple of lr

    def __init__(
        self,
        size: int,
        classes: int,
        mean: list[float],
        std: list[float],
        patches: list[list[float]],
        width: int,
        lr: float,
        weight_decay: float,
        smoothing: float,
        shift: int,
        cutout: int,
        average: float,
    ) -> None:
        super().__init__()
        self.lr, self.weight_decay, self.smoothing = lr, weight_decay, smoothing
        self.shift, self.cutout, self.average = shift, cutout, average
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1))
        self.layers = self.network(size, width, classes, torch.tensor(patches))
        self.to(memory_format=torch.channels_last)

    @abstractmethod
    def network(self, size: int, width: int, classes: int, patches: Tensor) -> nn.Module:
        """[n, 3, size, size] -> [n, classes]"""

    def normalise(self, x: Tensor) -> Tensor:
        """uint8 [n, h, w, 3] -> float [n, 3, h, w] around 0; a view, in channels_last."""
        return (x.permute(0, 3, 1, 2) / 255 - self.mean) / self.std

    def forward(self, x: Tensor) -> Tensor:
        """uint8 [n, size, size, 3] -> logits [n, classes], averaged over the image and its mirror image."""
        x = self.normalise(x)
        return (self.layers(x) + self.layers(x.flip(3))) / 2

    def training_step(self, batch: tuple[Tensor, Tensor, Tensor], _: int) -> Tensor:
        """Every image is mirrored in every other epoch (Jordan, section 3.6); `side` selects which.

        batch: images uint8 [n, size, size, 3], side int [n], classes int [n]
        """
        x, side, y = batch
        x = self.normalise(flip_and_shift(x, side == self.current_epoch % 2, self.shift))
        return F.cross_entropy(self.layers(cutout(x, self.cutout)), y, label_smoothing=self.smoothing)

    def validation_step(self, batch: tuple[Tensor, Tensor, Tensor], _: int) -> None:
        """batch: as of `training_step`"""
        x, y = batch[0], batch[2]
        logits = self.layers(self.normalise(x))  # one view only, in half the time
        self.log("val_loss", F.cross_entropy(logits, y), sync_dist=True, batch_size=len(x))
        self.log("val_accuracy", (logits.argmax(1) == y).float().mean(), sync_dist=True, batch_size=len(x))

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        learnt = [p for p in self.parameters() if p.requires_grad]
        groups = [
            {"params": [p for p in learnt if p.ndim > 1], "weight_decay": self.weight_decay},
            {"params": [p for p in learnt if p.ndim <= 1], "weight_decay": 0.0},
        ]
        optimizer = torch.optim.SGD(groups, self.lr, momentum=0.85, nesterov=True)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer,
            [self.lr, self.lr * self.bias_lr],
            total_steps=int(self.trainer.estimated_stepping_batches),
            pct_start=0.23,
            anneal_strategy="linear",
            cycle_momentum=False,
            div_factor=5,  # from lr / 5
            final_div_factor=3,  # to lr / 15
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def configure_callbacks(self) -> list[pl.Callback]:
        return [EMAWeightAveraging(decay=self.average)]


class CNN(Classifier):
    """The baseline: three convolutions, no normalisation."""

    def network(self, size: int, width: int, classes: int, patches: Tensor) -> nn.Module:
        def block(i: int, o: int) -> list[nn.Module]:
            conv = nn.Conv2d(i, o, 3, padding=1)
            nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
            return [conv, nn.MaxPool2d(2), nn.ReLU()]

        return nn.Sequential(
            *block(3, width),  # [n, w, size / 2, size / 2]
            *block(width, 2 * width),
            *block(2 * width, 4 * width),  # [n, 4w, size / 8, size / 8]
            nn.Flatten(),
            nn.Linear(4 * width * (size // 8) ** 2, classes),
        )


class ResNet20(Classifier):
    """He et al., "Deep Residual Learning" (2015), section 4.2, n = 3: 0.27 million parameters at a width of 16."""

    def network(self, size: int, width: int, classes: int, patches: Tensor) -> nn.Module:
        blocks = [Basic(width, width) for _ in range(3)]
        for w in (width, 2 * width):
            blocks += [Basic(w, 2 * w, stride=2), Basic(2 * w, 2 * w), Basic(2 * w, 2 * w)]
        return nn.Sequential(
            *conv_norm(3, width),
            nn.ReLU(),
            *blocks,
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(4 * width, classes),
        )


class Basic(nn.Module):
    """Two convolutions and a parameter-free shortcut (option A): every second pixel, new channels zero."""

    def __init__(self, i: int, o: int, stride: int = 1) -> None:
        super().__init__()
        self.stride, self.new = stride, o - i
        self.residual = nn.Sequential(*conv_norm(i, o, stride), nn.ReLU(), *conv_norm(o, o))

    def forward(self, x: Tensor) -> Tensor:
        """[n, i, h, w] -> [n, o, h / stride, w / stride]"""
        shortcut = x[:, :, :: self.stride, :: self.stride]
        if self.new:
            shortcut = F.pad(shortcut, (0, 0, 0, 0, self.new // 2, self.new - self.new // 2))
        return F.relu(shortcut + self.residual(x))


def conv_norm(i: int, o: int, stride: int = 1) -> tuple[nn.Module, nn.Module]:
    conv = nn.Conv2d(i, o, 3, stride, padding=1, bias=False)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    return conv, nn.BatchNorm2d(o)


class ResNet9(Classifier):
    """Page's ResNet-9 in Jordan's form: a frozen whitening layer, then three stages that halve the image."""

    bias_lr = 64.0

    def network(self, size: int, width: int, classes: int, patches: Tensor) -> nn.Module:
        return nn.Sequential(
            whitening(patches),  # [n, 24, size - 1, size - 1]
            nn.GELU(),
            *stage(24, width),  # [n, w, size / 2 - 1, size / 2 - 1]
            *stage(width, 2 * width),
            *stage(2 * width, 4 * width),  # [n, 4w, size / 8 - 1, size / 8 - 1]
            nn.AdaptiveMaxPool2d(1),
            nn.Flatten(),
            Scaled(4 * width, classes),
        )


def stage(i: int, o: int) -> list[nn.Module]:
    return [identity_conv(i, o), nn.MaxPool2d(2), norm(o), nn.GELU(), Residual(o)]


class Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(identity_conv(width, width), norm(width), nn.GELU())

    def forward(self, x: Tensor) -> Tensor:
        """[n, width, h, w], and so the result"""
        return x + self.branch(x)


def identity_conv(i: int, o: int) -> nn.Conv2d:
    """Its first output channels are initialised as the identity (section 3.3)."""
    conv = nn.Conv2d(i, o, 3, padding=1, bias=False)
    nn.init.dirac_(conv.weight[: min(i, o)])
    return conv


def norm(width: int) -> nn.BatchNorm2d:
    """Batch normalisation that learns the bias but not the scale."""
    layer = nn.BatchNorm2d(width, momentum=0.4)
    layer.weight.requires_grad = False
    return layer


class Scaled(nn.Linear):
    """A linear layer with scaled outputs, which slows its learning to that of the layers before it."""

    def __init__(self, i: int, o: int) -> None:
        super().__init__(i, o, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """[n, i] -> [n, o]"""
        return super().forward(x) / 9


def whitening(patches: Tensor, epsilon: float = 5e-4) -> nn.Conv2d:
    """2x2 patches along their principal axes, each with unit variance, and the same negated (section 3.2).

    patches: covariance [12, 12] -> [n, 3, h, w] to [n, 24, h - 1, w - 1]
    """
    variance, axes = torch.linalg.eigh(patches)  # [12], [12, 12] by column
    filters = (axes / torch.sqrt(variance + epsilon)).T.reshape(-1, 3, 2, 2)
    conv = nn.Conv2d(3, 2 * len(filters), 2)
    conv.weight = nn.Parameter(torch.cat([filters, -filters]), requires_grad=False)
    nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
    return conv
