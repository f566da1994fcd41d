"""Small data sets stay in memory as tensors: a batch is one indexing operation, not a loop over items."""

from collections.abc import Iterator

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor

from pipelines.common.config import UsageError


class Batches:
    """Batches of a tuple of tensors, in a new order each epoch.

    The order depends on seed and epoch alone, so a resumed run sees what an undisturbed one would have seen.
    Of several processes each takes every `world`-th row of every batch: together they see the batches of one.
    """

    def __init__(
        self, tensors: tuple[Tensor, ...], batch_size: int, *, seed: int | None, rank: int = 0, world: int = 1
    ) -> None:
        self.tensors, self.batch_size, self.seed = tensors, batch_size, seed
        self.rank, self.world = rank, world
        if len(tensors[0]) // len(self) < world:
            raise UsageError(
                f"batches of {len(tensors[0])} rows by {batch_size} leave some of {world} processes without "
                f"a row; raise train.batch_size or use fewer devices"
            )
        self.epoch = 0
        self.sampler, self.batch_sampler = self, None  # where Lightning looks for set_epoch

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-len(self.tensors[0]) // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        rows = len(self.tensors[0])
        if self.seed is None:
            order = torch.arange(rows)
        else:
            order = torch.randperm(rows, generator=torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch))
        # Batches of nearly equal size, so that no step hangs on a last batch of three rows.
        for index in order.tensor_split(len(self)):
            share = index[self.rank :: self.world]
            yield tuple(tensor[share] for tensor in self.tensors)


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
