"""A reward model: Stiennon et al., "Learning to Summarize from Human Feedback" (2020), section 3.4.

It is the language model with a head of one number in place of the unembedding, and learns which of two texts was
preferred. Ouyang et al., "Training Language Models to Follow Instructions with Human Feedback" (2022), equation 1, is
the same for pairs.
"""

import copy

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torch.nn import functional as F

from models.decoders.language_model import LanguageModel
from models.graph import Graph


class RewardModel(pl.LightningModule):
    """
    Args:
        start: the language model whose weights it begins with.
        prompt: p, tokens before the text that is judged.
        end: the token that ends a text.
        lr: of AdamW, falling to 0.
        weight_decay: of AdamW.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, start: LanguageModel, prompt: int, end: int, lr: float, weight_decay: float) -> None:
        super().__init__()
        self.prompt, self.end, self.lr, self.weight_decay = prompt, end, lr, weight_decay
        self.body = copy.deepcopy(start)
        assert isinstance(self.body.head, nn.Linear)
        width = self.body.head.in_features
        self.body.head = head = nn.Linear(width, 1)
        nn.init.normal_(head.weight, std=1 / (width + 1) ** 0.5)  # appendix B.1
        nn.init.zeros_(head.bias)
        self.register_buffer("mean", torch.zeros(()))
        self.register_buffer("deviation", torch.ones(()))

    def values(self, tokens: Tensor) -> Tensor:
        """The head at every token. tokens: int [n, p + t] -> [n, p + t]"""
        return self.body(tokens)[..., 0]

    def last(self, tokens: Tensor) -> Tensor:
        """Where each text ends: at its first `end`, or with its last token. int [n, p + t] -> int [n]"""
        ends = tokens[:, self.prompt :] == self.end
        first = torch.where(ends.any(dim=1), ends.int().argmax(dim=1), ends.shape[1] - 1)
        return first + self.prompt

    def forward(self, tokens: Tensor, last: Tensor) -> Tensor:
        """The reward of each text, read at the token `last`. tokens: int [n, p + t], last: int [n] -> [n]"""
        values = self.values(tokens).gather(1, last[:, None])[:, 0]
        return (values - self.mean) / self.deviation

    def scores(self, tokens: Tensor) -> Tensor:
        """As `forward`, of whole texts."""
        return self(tokens, self.last(tokens))

    def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
        """Section 3.4: -log sigmoid(r(preferred) - r(other)). batch: int [n, p + t] each"""
        preferred, other = (self.scores(tokens) for tokens in batch)
        return -F.logsigmoid(preferred - other).mean()

    def validation_step(self, batch: tuple[Tensor, Tensor], _: int) -> None:
        preferred, other = (self.scores(tokens) for tokens in batch)
        size = len(preferred)
        self.log("val_loss", -F.logsigmoid(preferred - other).mean(), batch_size=size, sync_dist=True)
        self.log("val_accuracy", (preferred > other).float().mean(), batch_size=size, sync_dist=True)
        self.seen = torch.cat([preferred, other])

    def on_fit_end(self) -> None:
        """Rewards of what the reference writes have mean 0 (section 3.4), and here deviation 1, for one scale."""
        self.mean.copy_(self.mean + self.seen.mean() * self.deviation)
        self.deviation.copy_(self.deviation * self.seen.std())

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        optimizer = torch.optim.AdamW(self.parameters(), self.lr, weight_decay=self.weight_decay, fused=True)
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: max(0.0, 1 - step / steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def graphs(self, example: tuple[Tensor, ...]) -> dict[str, Graph]:
        """reward.onnx: tokens int [n, length], last int [n] -> rewards [n]. example: preferred texts, int [2, p + t]"""
        tokens = example[0].long()
        inputs = {"tokens": tokens, "last": self.last(tokens)}
        free = {"tokens": {0: "batch", 1: "length"}, "last": {0: "batch"}}
        return {"reward.onnx": Graph(self, inputs, ("rewards",), free)}
