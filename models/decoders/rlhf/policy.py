"""What PPO, DPO and GRPO share: a language model that writes, the one it began as, and what both are judged by."""

import copy
from abc import abstractmethod

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor

from models.decoders.language_model import LanguageModel
from models.decoders.rlhf.reward import RewardModel
from models.decoders.rlhf.rollouts import Examples, Rollouts, Score
from models.decoders.rlhf.texts import mean_over, predictions, write
from models.graph import Graph


class Policy(pl.LightningModule):
    """
    Args:
        reference: the language model to begin as.
        reward_model: trained on preferences.
        new: t, tokens that are written behind a prompt.
        end: the token that ends a text.
        signal: what is learnt from, `learned` rewards or the `rule` that preferences come from.
        samples: n, texts of a rollout.
        rollouts: of an epoch.
        passes: how often a rollout is read, in shuffled minibatches.
        group: texts on one prompt.
        beta: weight of the KL divergence from the reference.
        lr: of Adam, falling to 0 by steps.
    """

    def __init__(
        self,
        reference: LanguageModel,
        reward_model: RewardModel,
        new: int,
        end: int,
        signal: str,
        samples: int,
        rollouts: int,
        passes: int,
        group: int,
        beta: float,
        lr: float,
    ) -> None:
        super().__init__()
        self.new, self.end, self.signal = new, end, signal
        self.samples, self.rollouts, self.passes, self.group = samples, rollouts, passes, group
        self.beta, self.lr = beta, lr
        self.model = copy.deepcopy(reference)
        self.reference = copy.deepcopy(reference).requires_grad_(False).eval()
        self.reward_model = copy.deepcopy(reward_model).requires_grad_(False).eval()

    @property
    def writer(self) -> LanguageModel:
        """Who writes the rollouts."""
        return self.model

    @property
    def rows(self) -> int:
        """Examples of a rollout."""
        return self.samples

    @abstractmethod
    def examples(self, tokens: Tensor, mask: Tensor, rewards: Tensor) -> Examples:
        """What a rollout teaches; minibatches of it go into `training_step`.

        tokens: int [n, p + t], texts on one prompt one after the other; mask: bool [n, t]; rewards: [n]
        """

    def rollouts_on(self, prompts: Tensor, judge: Score, batch_size: int, seed: int) -> Rollouts:
        """What it learns from. prompts: int [m, p]; judge: the rule; batch_size: of a minibatch"""
        score = self.reward_model.scores if self.signal == "learned" else judge
        return Rollouts(self, prompts, score, batch_size, seed)

    def write(self, prompts: Tensor, new: int, end: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """As of models/decoders/rlhf/texts.py."""
        return write(self.model, prompts, new, end, generator)

    def forward(self, tokens: Tensor) -> Tensor:
        """As of the language model."""
        logits: Tensor = self.model(tokens)
        return logits

    def validation_step(self, batch: tuple[Tensor, Tensor, Tensor], _: int) -> None:
        """batch: what the policy wrote, tokens int [n, p + t], mask bool [n, t]; rewards by the rule [n]"""
        tokens, mask, rewards = batch
        policy, reference = (predictions(model, tokens, self.new) for model in (self.model, self.reference))
        kl = ((policy.exp() * (policy - reference)).sum(dim=-1) * mask).sum(dim=1)  # exact at each token
        surprise = -mean_over(reference.gather(-1, tokens[:, -self.new :, None])[..., 0], mask)
        learned = self.reward_model.scores(tokens)
        found = {
            "val_reward": rewards.mean(),
            "val_learned": learned.mean(),
            "val_kl": kl.mean(),
            "val_perplexity": surprise.mean().exp(),
            "val_loss": -(learned if self.signal == "learned" else rewards).mean(),
        }
        self.log_dict(found, batch_size=len(tokens))

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        trained = [parameter for parameter in self.parameters() if parameter.requires_grad]
        optimizer = torch.optim.Adam(trained, self.lr, fused=True)
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: max(0.0, 1 - step / steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def graphs(self, example: tuple[Tensor, ...]) -> dict[str, Graph]:
        """decoder.onnx, of the policy. example: int [2, t], t at least 4"""
        return {"decoder.onnx": LanguageModel.graphs(self.model, example)["decoder.onnx"]}
