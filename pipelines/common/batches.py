"""Small data sets stay in memory as tensors: a batch is one indexing operation, not a loop over items."""

from collections.abc import Iterator

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor

from pipelines.common.config import UsageError

GRAIN = 8


class Batches:
    """Batches of a tuple of tensors, in a new order each epoch; without a seed in their own order.

    The order depends on seed and epoch alone, so a resumed run sees what an undisturbed one would have seen.
    Of several processes each takes every `world`-th row of every batch: together they see the batches of one. Shuffled
    rows are dealt in groups of GRAIN, so that 2, 4 or 8 processes get equal shares and their mean gradient is that of
    one; up to seven rows, others each time, sit an epoch out.

    Raises:
        UsageError: batches too small to give every process a row.
    """

    def __init__(
        self, tensors: tuple[Tensor, ...], batch_size: int, *, seed: int | None, rank: int = 0, world: int = 1
    ) -> None:
        self.tensors, self.batch_size, self.seed = tensors, batch_size, seed
        self.rank, self.world = rank, world
        rows = len(tensors[0])
        if rows // len(self) < world:
            raise UsageError(
                f"batches of {batch_size} out of {rows} rows leave some of {world} processes without one; "
                "raise train.batch_size or use fewer devices"
            )
        self.epoch = 0
        self.sampler, self.batch_sampler = self, None  # where Lightning looks for set_epoch

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-len(self.tensors[0]) // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        # Batches of nearly equal size, so that no step hangs on a last batch of three rows.
        for index in self._order().tensor_split(len(self)):
            share = index.flatten()[self.rank :: self.world]
            yield tuple(tensor[share] for tensor in self.tensors)

    def _order(self) -> Tensor:
        """Row numbers in groups: [groups, grain]"""
        rows = len(self.tensors[0])
        if self.seed is None:
            return torch.arange(rows)[:, None]
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        grain = GRAIN if rows // GRAIN >= len(self) else 1
        return torch.randperm(rows, generator=generator)[: rows - rows % grain].view(-1, grain)


class TensorData(pl.LightningDataModule):
    """Training and validation arrays as in-memory batches."""

    def __init__(self, train: tuple[np.ndarray, ...], val: tuple[np.ndarray, ...], batch_size: int, seed: int) -> None:
        super().__init__()
        self.train, self.val = (tuple(map(torch.from_numpy, arrays)) for arrays in (train, val))
        self.batch_size, self.seed = batch_size, seed

    def train_dataloader(self) -> Batches:
        return self._batches(self.train, self.batch_size, self.seed)

    def val_dataloader(self) -> Batches:
        return self._batches(self.val, max(self.batch_size, 1024), None)

    def _batches(self, tensors: tuple[Tensor, ...], batch_size: int, seed: int | None) -> Batches:
        assert self.trainer is not None
        rank, world = self.trainer.global_rank, self.trainer.world_size
        return Batches(tensors, batch_size, seed=seed, rank=rank, world=world)
