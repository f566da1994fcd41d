"""Data sets that fit stay in memory as tensors: a batch is one indexing operation, not a loop over items."""

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
POOL = 32  # batches' worth of shuffled rows that are sorted by length together


class BatchLoader:
    """Batches of a tuple of tensors, in a new order each epoch; without a seed in their own order.

    The order depends on seed and epoch alone, so a resumed run sees what an undisturbed one would have seen.
    Of several processes each takes every `world`-th row of every batch: together they see the batches of one. Shuffled
    rows are dealt in groups of GRAIN, so that 2, 4 or 8 processes get equal shares and their mean gradient is that of
    one; up to seven rows, others each time, sit an epoch out.

    Args:
        rows: of an epoch, drawn anew each time, where an epoch over all rows would be too long.
        lengths: of the first tensor's rows, [n]. Rows of like length share a batch, cut to the longest of them: rows
            are shuffled, sorted in pools of POOL batches, and the batches shuffled again.

    Raises:
        UsageError: batches too small to give every process a row.
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
        self.sampler, self.batch_sampler = self, None  # where Lightning looks for set_epoch

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
        """The row numbers of each batch, of nearly equal size: no step hangs on a last one of three rows."""
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
        return BatchLoader(tensors, batch_size, rank=self.trainer.global_rank, world=self.trainer.world_size, **options)


def tensor(array: np.ndarray) -> Tensor:
    """Shares the array's memory. A view that is read-only, as sliding windows are, is fine: batches are copies."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array)
