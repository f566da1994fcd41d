"""In-memory datasets: a batch is one indexing operation, not a loop over items."""

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from roadmap.config.settings import TrainSettings
from roadmap.data.training_set import TrainingSet
from roadmap.io.errors import UsageError
from roadmap.training.lightning import pl

GRAIN = 8
POOL = 32  # batches per pool of shuffled rows that is sorted by length


class BatchLoader:
    """Batches of a tuple of tensors, shuffled each epoch; without a seed in the given order.

    The order depends on seed and epoch alone, so a resumed run sees the same batches as an uninterrupted one.
    Each of several processes takes every `world`-th row of every batch: together they see the batches of one. Shuffled
    rows come in groups of GRAIN, so that 2, 4 or 8 processes get equal shares and the same mean gradient as one; up to
    seven rows, different ones each time, are skipped in an epoch.

    Args:
        rows: rows per epoch, redrawn each time, if an epoch over all rows would be too long.
        lengths: of the first tensor's rows, [n]. Rows of similar length share a batch, cut to its longest: rows
            are shuffled, sorted in pools of POOL batches, and the batches shuffled again.

    Raises:
        UsageError: a batch has fewer rows than there are processes.
    """

    def __init__(
        self,
        tensors: tuple[Tensor, ...],
        batch_size: int,
        *,
        seed: int | None,
        rank: int = 0,
        world: int = 1,
        lengths: Tensor | None = None,
        rows: int | None = None,
    ) -> None:
        self.tensors, self.batch_size, self.seed = tensors, batch_size, seed
        self.rank, self.world, self.lengths = rank, world, lengths
        self.rows = min(rows or len(tensors[0]), len(tensors[0]))
        if self.rows // len(self) < world:
            raise UsageError(
                f"batches of {batch_size} out of {self.rows} rows leave some of {world} processes without one; "
                "raise train.batch_size or use fewer devices"
            )
        self.epoch = 0
        self.sampler, self.batch_sampler = self, None  # Lightning calls their set_epoch

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-self.rows // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        for index in self._plan():
            share = index[self.rank :: self.world]
            if self.lengths is None:
                yield tuple(tensor[share] for tensor in self.tensors)
            else:
                first, *others = self.tensors
                longest = int(self.lengths[index].max())
                yield first[:, :longest][share], *(tensor[share] for tensor in others)

    def _plan(self) -> list[Tensor]:
        """The row indices of each batch. Sizes are nearly equal, so that no step uses a last batch of three rows."""
        if self.seed is None:
            order = torch.arange(self.rows) if self.lengths is None else self.lengths.argsort(stable=True)[: self.rows]
            return list(order.tensor_split(len(self)))
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        order = torch.randperm(len(self.tensors[0]), generator=generator)[: self.rows]
        if self.lengths is not None:
            pools = order.split(POOL * self.batch_size)
            order = torch.cat([pool[self.lengths[pool].argsort(stable=True)] for pool in pools])
        grain = GRAIN if self.rows // GRAIN >= len(self) else 1
        groups = order[: self.rows - self.rows % grain].view(-1, grain)
        batches = [group.flatten() for group in groups.tensor_split(len(self))]
        if self.lengths is None:
            return batches
        return [batches[i] for i in torch.randperm(len(batches), generator=generator)]


class InMemoryDataModule(pl.LightningDataModule):
    """A training set as in-memory batches."""

    def __init__(self, data: TrainingSet, settings: TrainSettings, seed: int) -> None:
        super().__init__()
        self.train, self.val = (tuple(map(tensor, arrays)) for arrays in (data.train, data.val))
        self.lengths = [tensor(lengths) for lengths in data.lengths] if data.lengths else [None, None]
        self.rows, self.settings, self.seed = data.rows, settings, seed

    def train_dataloader(self) -> BatchLoader:
        return self._batches(
            self.train, self.settings.batch_size, seed=self.seed, lengths=self.lengths[0], rows=self.rows
        )

    def val_dataloader(self) -> BatchLoader:
        size = self.settings.val_batch_size or max(self.settings.batch_size, 1024)
        return self._batches(self.val, size, seed=None, lengths=self.lengths[1])

    def _batches(self, tensors: tuple[Tensor, ...], batch_size: int, **options: Any) -> BatchLoader:
        assert self.trainer is not None
        share = self.trainer.distributed_sampler_kwargs or {"rank": 0, "num_replicas": 1}
        return BatchLoader(tensors, batch_size, rank=share["rank"], world=share["num_replicas"], **options)


def tensor(array: np.ndarray) -> Tensor:
    """An array of any shape as a tensor, which shares its memory.

    Read-only views such as sliding windows are fine: batches are copies.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array)
