"""Training and validation for Lightning: a policy writes, and learns from what the judge or the reward model says."""

from collections.abc import Callable, Iterator, Mapping
from typing import Protocol, cast

import numpy as np
import pytorch_lightning as pl  # noqa: TID251 (it is imported by now; prepare depends on no roadmap/training)
import torch
from tokenizers import Tokenizer
from torch import Tensor

from pipelines.rlhf.data.judges import Judge
from pipelines.rlhf.data.pairs import Writer
from pipelines.rlhf.data.tokens import texts_of
from roadmap.config.settings import TrainSettings
from roadmap.io.errors import UsageError

VALIDATED = 256  # texts after each epoch
Score = Callable[[Tensor], Tensor]


class Batches(Protocol):
    """models/decoders/rlhf/rollouts.py implements it."""

    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[tuple[Tensor, ...]]: ...


class Policy(Writer, Protocol):
    """What a network of this project is besides; models/decoders/rlhf/policy.py implements it."""

    new: int
    end: int

    def rollouts_on(self, prompts: Tensor, judge: Score, batch_size: int, seed: int) -> Batches: ...


class Stream(pl.LightningDataModule):
    """What the policy writes, in one process.

    Args:
        prompts: of train and val, int64 [m, p].
    """

    def __init__(
        self, prompts: Mapping[str, np.ndarray], tokenizer: Tokenizer, judge: Judge, settings: TrainSettings, seed: int
    ) -> None:
        super().__init__()
        self.prompts = {name: torch.from_numpy(rows) for name, rows in prompts.items()}
        self.tokenizer, self.judge, self.settings, self.seed = tokenizer, judge, settings, seed

    @property
    def policy(self) -> Policy:
        assert self.trainer is not None
        if self.trainer.world_size > 1:
            raise UsageError(
                f"trainer.devices: found {self.trainer.world_size} processes; expected one, since a policy learns from "
                "what it wrote itself; set 1"
            )
        return cast(Policy, self.trainer.lightning_module)

    def rewards(self, tokens: Tensor) -> Tensor:
        """By the judge. tokens: int [n, p + t] -> [n]"""
        policy = self.policy
        written = texts_of(self.tokenizer, tokens[:, -policy.new :].cpu().numpy(), policy.end)
        return torch.from_numpy(self.judge(written)).float().to(tokens.device)

    def train_dataloader(self) -> Batches:
        return self.policy.rollouts_on(self.prompts["train"], self.rewards, self.settings.batch_size, self.seed)

    def val_dataloader(self) -> "Written":
        return Written(self, self.prompts["val"][:VALIDATED])


class Written:
    """One batch: what the policy writes behind the same prompts each time, and the judge's rewards."""

    def __init__(self, stream: Stream, prompts: Tensor) -> None:
        self.stream, self.prompts = stream, prompts

    def __len__(self) -> int:
        return 1

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        policy, generator = self.stream.policy, torch.Generator().manual_seed(self.stream.seed)
        tokens, mask = policy.write(self.prompts, policy.new, policy.end, generator)
        yield tokens, mask, self.stream.rewards(tokens)
