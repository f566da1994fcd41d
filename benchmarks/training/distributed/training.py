"""One small training, by one process or several: what the proof compares."""

import tempfile
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from benchmarks.training.distributed.faults import planted
from benchmarks.training.distributed.traffic import Traffic
from roadmap.config.schema import SHIPPED, Run
from roadmap.config.settings import ModelSettings, TrainerSettings, TrainSettings
from roadmap.data.training_set import TrainingSet
from roadmap.io.json import JsonObject
from roadmap.training.fitting import fit
from roadmap.training.lightning import pl
from roadmap.training.resume import CHECKPOINT
from roadmap.training.strategies import Layout

BLOCK, ROWS = 12, 16
VOCAB, VALIDATION = 37, 19  # primes, which no number of processes divides
RECIPE = {"lr": 3e-3, "final_lr": 0.1, "warmup": 2, "weight_decay": 0.1, "beta2": 0.99}
SHAPES: dict[str, JsonObject] = {
    "gpt2": {
        "_target_": "models.decoders.gpt.GPT",
        "layers": 4,
        "heads": 4,
        "width": 32,
        "positions": "learned",
        "bias": True,
        "dropout": 0.0,
    },
    "llama": {
        "_target_": "models.decoders.llama.LLaMA",
        "layers": 4,
        "heads": 8,
        "kv_heads": 4,
        "width": 32,
        "hidden": 44,
        "qk_norm": True,
        "tied": False,
    },
}


class AnyModel(ModelSettings, extra="allow"):
    """Settings of a network without the ranges of a project's."""


@dataclass(frozen=True)
class Training:
    """What is trained, and by whom.

    Args:
        trainer: of TrainerSettings.
        train, model: of the network and its training, beside the usual.
        steps: of the optimizer, in an epoch.
        fault: one of faults.FAULTS.
        folder: of checkpoints to go on from, or None.
        stops: after the first epoch, with a checkpoint, as if killed.
    """

    shape: str
    trainer: JsonObject = field(default_factory=dict)
    precision: str = "64-true"
    train: JsonObject = field(default_factory=dict)
    model: JsonObject = field(default_factory=dict)
    steps: int = 20
    epochs: int = 1
    fault: str | None = None
    folder: Path | None = None
    stops: bool = False


@dataclass
class Outcome:
    """What one process has seen.

    losses      of each batch and, last, of the validation, over all rows
    gradients   of the first step, of the whole network, before they are clipped
    weights     after the last step, of the whole network
    sent        bytes in the last step, by operation
    kept        values of weights, and of the optimizer, that this process keeps
    """

    losses: list[float] = field(default_factory=list)
    gradients: dict[str, Tensor] = field(default_factory=dict)
    weights: dict[str, Tensor] = field(default_factory=dict)
    sent: Counter[str] = field(default_factory=Counter)
    kept: tuple[int, int] = (0, 0)


class Watch(pl.Callback):
    """Fills in an Outcome."""

    def __init__(self, outcome: Outcome, training: Training) -> None:
        self.outcome, self.training, self.steps = outcome, training, training.epochs * training.steps
        self.traffic, self.counting = Traffic(), ExitStack()

    def on_train_batch_start(self, trainer: pl.Trainer, _: pl.LightningModule, *__: object) -> None:
        if trainer.global_step == self.steps - 1:
            self.counting.enter_context(self.traffic)

    def on_before_optimizer_step(self, trainer: pl.Trainer, network: pl.LightningModule, _: object) -> None:
        if not self.outcome.gradients:
            layout = trainer.strategy
            found = (
                layout.parts.gradients()
                if isinstance(layout, Layout)
                else {name: p.grad for name, p in network.named_parameters() if p.grad is not None}
            )
            self.outcome.gradients = {name: value.detach().clone() for name, value in found.items()}

    def on_train_batch_end(
        self, trainer: pl.Trainer, network: pl.LightningModule, outputs: Any, batch: Any, *_: object
    ) -> None:
        self.counting.close()
        if trainer.global_step == self.steps:
            self.outcome.sent = self.traffic.sent
            (optimizer,) = trainer.strategy.optimizers
            values = [value for state in optimizer.state.values() for value in state.values() if value.ndim]
            self.outcome.kept = _count(list(network.parameters())), _count(values)
        self.outcome.losses.append(float(trainer.strategy.reduce(outputs["loss"].detach().clone(), reduce_op="mean")))

    def on_train_epoch_end(self, trainer: pl.Trainer, _: pl.LightningModule) -> None:
        if self.training.stops and self.training.folder:
            trainer.save_checkpoint(self.training.folder / CHECKPOINT)
            trainer.should_stop = True


def _count(tensors: list[Tensor]) -> int:
    return sum(getattr(tensor, "_local_tensor", tensor).numel() for tensor in tensors)


def train(training: Training) -> Outcome:
    """By this process and, if the trainer has several, the others."""
    trainer = TrainerSettings(**{"devices": 1, "precision": training.precision, **training.trainer})
    settings = TrainSettings(epochs=training.epochs, batch_size=ROWS, threads=1, **training.train)
    rows = ROWS * training.steps * settings.accumulate
    tokens = np.random.default_rng(0).integers(0, VOCAB, (rows + VALIDATION, BLOCK + 1))
    arrays = (tokens[:, :-1], tokens[:, 1:])
    data = TrainingSet(
        train=tuple(array[:rows] for array in arrays),
        val=tuple(array[rows:] for array in arrays),
        model={"vocab": VOCAB, "block": BLOCK},
        assets={},
    )
    model = AnyModel(**SHAPES[training.shape], **RECIPE, **training.model)
    unused: Any = None
    run = Run.model_construct(name="proof", profile="sample", seed=1, settings=unused, models={}, trainer=trainer)
    outcome = Outcome()
    with tempfile.TemporaryDirectory() as temporary, planted(training.fault):
        watch, place = Watch(outcome, training), training.folder or Path(temporary)
        fitted = fit(run, SHIPPED, model, settings, data, place, lambda curve, row: None, [watch])
    outcome.losses.append(fitted.history.rows[-1]["val_loss"])
    outcome.weights = {name: value.detach().clone() for name, value in fitted.network.state_dict().items()}
    return outcome


def train_all(trainings: list[Training]) -> list[Outcome]:
    return [train(training) for training in trainings]
