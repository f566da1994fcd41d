"""Linear regression, trained four ways: the normal equation, gradient descent, momentum, Adam.

All four minimise mean squared error plus a ridge penalty, so all four must converge to the same weights.
"""

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torch.nn import functional as F


def ridge(gram: Tensor, moment: Tensor, l2: float) -> Tensor:
    """Solves (X'X / n + l2 I) w = X'y / n through the SVD of the left side; the intercept, last, is not penalised.

    gram: [d + 1, d + 1], moment: [d + 1] -> w: [d + 1]
    """
    penalty = torch.full((len(gram),), l2, dtype=gram.dtype)
    penalty[-1] = 0
    return torch.linalg.pinv(gram + penalty.diag(), hermitian=True) @ moment


class LinearRegression(pl.LightningModule):
    """y = x w + b on a standardised target; `forward` returns the target's own unit.

    Args:
        in_features: columns of x.
        target_mean, target_std: of the training target.
        optimizer: svd (closed form), gd, momentum, adam.
        lr: peak learning rate; it falls to zero along a cosine.
        l2: ridge penalty on w.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, in_features: int, target_mean: float, target_std: float, optimizer: str, lr: float, l2: float
    ) -> None:
        super().__init__()
        self.optimizer, self.lr, self.l2 = optimizer, lr, l2
        self.linear = nn.Linear(in_features, 1)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)
        self.register_buffer("mean", torch.tensor(target_mean))
        self.register_buffer("std", torch.tensor(target_std))
        self.automatic_optimization = optimizer != "svd"

    def forward(self, x: Tensor) -> Tensor:
        """x: [n, d] -> y: [n]"""
        return self.linear(x).squeeze(-1) * self.std + self.mean

    def loss(self, x: Tensor, y: Tensor) -> Tensor:
        """Mean squared error of the standardised target, plus the penalty. x: [n, d], y: [n]"""
        error = F.mse_loss(self.linear(x).squeeze(-1), (y - self.mean) / self.std)
        return error + self.l2 * self.linear.weight.square().sum()

    def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
        """batch: x [n, d], y [n]"""
        x, y = batch
        if self.optimizer == "svd":
            self.accumulate(x, y)
        return self.loss(x, y)

    def validation_step(self, batch: tuple[Tensor, Tensor], _: int) -> None:
        """batch: as of `training_step`"""
        x, y = batch
        self.log("val_loss", self.loss(x, y), sync_dist=True, batch_size=len(x))
        self.log("val_mse", F.mse_loss(self(x), y), sync_dist=True, batch_size=len(x))

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig | None:
        if self.optimizer == "svd":
            return None
        if self.optimizer == "adam":
            optimizer: torch.optim.Optimizer = torch.optim.Adam(self.parameters(), self.lr)
        else:
            optimizer = torch.optim.SGD(self.parameters(), self.lr, momentum=0.9 if self.optimizer == "momentum" else 0)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, int(self.trainer.estimated_stepping_batches))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    # The normal equation needs only sums over the data: it reads batches like the others and solves after the last.

    def on_train_epoch_start(self) -> None:
        d = self.linear.in_features
        self.sums = torch.zeros(d + 1, d + 2, dtype=torch.float64, device="cpu")  # [X'X | X'y], 1 appended to x

    def accumulate(self, x: Tensor, y: Tensor) -> None:
        """Adds a batch to the sums; after the epoch's last one, solves. x: [n, d], y: [n]"""
        rows = torch.cat([x, torch.ones_like(x[:, :1])], dim=1).double().cpu()  # [n, d + 1]
        target = ((y - self.mean) / self.std).double().cpu()  # [n]
        self.sums += rows.T @ torch.cat([rows, target[:, None]], dim=1)
        if self.trainer.is_last_batch:
            total = self.trainer.strategy.reduce(self.sums, reduce_op="sum")  # over all processes
            total = total / total[-1, -2]  # the bottom right of X'X counts the rows
            w = ridge(total[:, :-1], total[:, -1], self.l2).float()
            with torch.no_grad():
                self.linear.weight.copy_(w[None, :-1])
                self.linear.bias.copy_(w[-1:])
