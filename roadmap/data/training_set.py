"""What a project hands to training."""

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class TrainingSet:
    """Arrays ready for the network, and what must travel with it.

    train, val   inputs first, target last; all of the same length. Views such as sliding windows are welcome
    model        keyword arguments that only the data can tell (number of features, classes, target scale)
    assets       file name -> JSON for the bundle; `example.json` holds two requests
    lengths      of the rows of train and val, whose first array is padded on the right: like lengths share a batch
    rows         of an epoch, where one over all training rows would be too long
    """

    train: tuple[np.ndarray, ...]
    val: tuple[np.ndarray, ...]
    model: dict[str, Any]
    assets: dict[str, Any]
    lengths: tuple[np.ndarray, np.ndarray] | None = None
    rows: int | None = None
