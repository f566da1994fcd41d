"""Training by several processes that have other rows, other parts of each matrix, or other layers."""

from roadmap.config.settings import LAYOUTS, TrainerSettings
from roadmap.training.strategies.clipping import ClipGlobalNorm
from roadmap.training.strategies.data import DataParallel
from roadmap.training.strategies.layout import Layout

__all__ = ["ClipGlobalNorm", "DataParallel", "Layout", "strategy_of"]


def strategy_of(trainer: TrainerSettings) -> DataParallel | str:
    """A strategy of this package, or the name of one of Lightning's."""
    if trainer.way in LAYOUTS:
        return Layout(trainer)
    return DataParallel() if trainer.way and trainer.strategy in ("auto", "ddp") else trainer.strategy
