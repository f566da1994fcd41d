"""What a project hands to training."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from pytorch_lightning import LightningDataModule, LightningModule  # noqa: TID251 (types)

    from roadmap.config.settings import TrainSettings

MODEL = "model"  # the network that `model:` in params.yaml describes, the last one to be trained

Assets = Mapping[str, Any]  # file name -> JSON for the bundle, or bytes; `example.json` holds two requests


@dataclass(frozen=True)
class TrainingSet:
    """Arrays in memory, and what must travel with them.

    train, val   inputs first, target last; all of the same length. Views such as sliding windows are welcome
    model        keyword arguments that only the data can tell (number of features, classes, target scale)
    assets       what the bundle holds beside the graphs, or a function of the trained network that makes it: an index
    lengths      of the rows of train and val, whose first array is padded on the right: like lengths share a batch
    rows         of an epoch, where one over all training rows would be too long
    """

    train: tuple[np.ndarray, ...]
    val: tuple[np.ndarray, ...]
    model: dict[str, Any]
    assets: Assets | Callable[[LightningModule], Assets] = field(default_factory=dict)
    lengths: tuple[np.ndarray, np.ndarray] | None = None
    rows: int | None = None

    @property
    def example(self) -> tuple[np.ndarray, ...]:
        """Inputs of the network, [2, ...] each: what its graph is traced and checked with."""
        return tuple(array[:2] for array in self.val[:-1])


@dataclass(frozen=True)
class TrainingStream:
    """What comes while it is learnt from: an environment's episodes, or more than memory holds.

    module    makes the batches, from the settings and the seed; by its trainer it sees the network, if it must act
    example   inputs of the network, two rows of each
    model, assets   as of a TrainingSet
    """

    module: Callable[[TrainSettings, int], LightningDataModule]
    example: tuple[np.ndarray, ...]
    model: dict[str, Any]
    assets: Assets | Callable[[LightningModule], Assets] = field(default_factory=dict)


TrainingData = TrainingSet | TrainingStream
Networks = Mapping[str, "LightningModule"]  # those trained so far, by name; on the CPU, in evaluation mode
Fits = Mapping[str, Callable[[Networks], TrainingData]]


def fits_of(found: TrainingData | Fits) -> Fits:
    """What a project's `training` returns, as the fits of its networks: of one network, one."""
    return {MODEL: lambda _: found} if isinstance(found, TrainingSet | TrainingStream) else found
