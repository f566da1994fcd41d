"""Binary classification of table rows: logistic regression, or a multi-layer perceptron."""

from itertools import pairwise

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torch.nn import functional as F


class Classifier(pl.LightningModule):
    """A stack of Linear-ReLU-Dropout blocks and one logit; with no hidden layer it is logistic regression.

    Args:
        in_features: columns of x.
        hidden: widths of the hidden layers.
        dropout: fraction of hidden units dropped in training.
        lr: peak of the one-cycle schedule (Smith, "Super-Convergence", 2018).
        weight_decay: of AdamW.
    """

    def __init__(self, in_features: int, hidden: list[int], dropout: float, lr: float, weight_decay: float) -> None:
        super().__init__()
        self.lr, self.weight_decay = lr, weight_decay
        widths = [in_features, *hidden]
        blocks = [
            nn.Sequential(nn.Linear(before, after), nn.ReLU(), nn.Dropout(dropout))
            for before, after in pairwise(widths)
        ]
        self.logit = nn.Sequential(*blocks, nn.Linear(widths[-1], 1))

    def forward(self, x: Tensor) -> Tensor:
        """x: [n, d] -> probability of the second class: [n]"""
        return self.logit(x).squeeze(-1).sigmoid()

    def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
        """batch: x [n, d], y [n], the second class as 1"""
        x, y = batch
        return F.binary_cross_entropy_with_logits(self.logit(x).squeeze(-1), y)

    def validation_step(self, batch: tuple[Tensor, Tensor], _: int) -> None:
        """batch: as of `training_step`"""
        x, y = batch
        logits = self.logit(x).squeeze(-1)
        loss = F.binary_cross_entropy_with_logits(logits, y)
        self.log("val_loss", loss, sync_dist=True, batch_size=len(x))
        self.log("val_accuracy", ((logits > 0) == (y > 0.5)).float().mean(), sync_dist=True, batch_size=len(x))

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        optimizer = torch.optim.AdamW(self.parameters(), self.lr, weight_decay=self.weight_decay)
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, self.lr, total_steps=steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
