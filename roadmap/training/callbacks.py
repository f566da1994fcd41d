"""Lightning callbacks: checkpoints to resume from, and the history of metrics."""

import math
import pickle
import sys
import time
from collections.abc import Callable, Mapping, Sequence, Sized
from pathlib import Path
from typing import Any

import torch

from roadmap.io.atomic import replace
from roadmap.io.errors import UsageError
from roadmap.io.json import JsonObject
from roadmap.training.lightning import pl, plugins
from roadmap.training.resume import CHECKPOINT, set_aside

PARTS = {"epoch", "global_step", "state_dict", "optimizer_states", "lr_schedulers", "loops", "callbacks"}


class LocalFiles(plugins.TorchCheckpointIO):
    """Checkpoints on the local disk. Lightning's default imports cloud SDKs to resolve the path."""

    def save_checkpoint(
        self, checkpoint: Mapping[str, object], path: str | Path, storage_options: object = None
    ) -> None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        torch.save(checkpoint, path)


class ResumeCheckpoint(pl.Callback):
    """Writes `last.ckpt` at the end of an epoch, at most every `seconds`, and seeds every epoch separately.

    Dropout and augmentation are seeded by epoch, so that a resumed run repeats the epochs of an uninterrupted one.
    """

    def __init__(self, folder: Path, seed: int, seconds: float = 1.0) -> None:
        self.path, self.seed, self.seconds = folder / CHECKPOINT, seed, seconds
        self.written = time.monotonic()

    def checkpoint(self, network: pl.LightningModule) -> Path | None:
        """The one to resume from. One that is not of this network is set aside with a note."""
        if not self.path.exists():
            return None
        if reason := _unfit(self.path, network):
            set_aside(self.path, reason)
            return None
        return self.path

    def on_train_epoch_start(self, trainer: pl.Trainer, _: pl.LightningModule) -> None:
        torch.manual_seed(self.seed * 1_000_003 + trainer.current_epoch)

    def on_train_epoch_end(self, trainer: pl.Trainer, _: pl.LightningModule) -> None:
        # Rank zero's clock decides for all: saving is a collective operation under DDP.
        due = trainer.strategy.broadcast(time.monotonic() - self.written >= self.seconds)
        if due or trainer.current_epoch + 1 == trainer.max_epochs:
            draft = self.path.with_suffix(".draft")
            trainer.save_checkpoint(draft)
            if trainer.is_global_zero:
                replace(draft, self.path)  # a kill, or a power failure, leaves the old one or the new one
            self.written = time.monotonic()


def _unfit(path: Path, network: pl.LightningModule) -> str | None:
    """Why a checkpoint is not one of this network."""
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, pickle.UnpicklingError) as error:
        return (str(error) or type(error).__name__).splitlines()[0]
    if not isinstance(found, dict) or not found.keys() >= PARTS:
        return "it is no checkpoint of a training"
    if _shapes(found["state_dict"]) != _shapes(network.state_dict()):
        return "its weights are those of another network"
    return None


def _shapes(weights: dict[str, torch.Tensor]) -> dict[str, torch.Size]:
    return {name.replace("_orig_mod.", ""): values.shape for name, values in weights.items()}  # compiled or not


class MetricHistory(pl.Callback):
    """One row per epoch: epoch, training seconds so far, learning rate, mean training loss and every logged metric.

    It is part of the checkpoint, so a resumed run keeps its earlier rows. `report` is called with each new row.

    Raises:
        UsageError: the training loss is no longer a number.
    """

    def __init__(self, label: str, report: Callable[[dict[str, float]], None]) -> None:
        self.label, self.report = label, report
        self.rows: list[dict[str, float]] = []
        self.spent = 0.0

    def state_dict(self) -> JsonObject:
        return {"rows": self.rows, "spent": self.spent}

    def load_state_dict(self, state: JsonObject) -> None:
        self.rows, self.spent = state["rows"], state["spent"]

    def on_train_epoch_start(self, *_: object) -> None:
        self.started = time.perf_counter()
        self.loss, self.seen = torch.zeros(()), 0

    def on_train_batch_end(
        self, _: pl.Trainer, __: pl.LightningModule, outputs: Any, batch: Sequence[Sized], *___: object
    ) -> None:
        # Summed here, because a `self.log` in every step costs more than one percent of mnist's training.
        self.loss = self.loss.to(outputs["loss"].device) + outputs["loss"].detach() * len(batch[0])
        self.seen += len(batch[0])

    def on_validation_start(self, trainer: pl.Trainer, _: pl.LightningModule) -> None:
        if not trainer.sanity_checking:  # validation is not training time
            self.spent += time.perf_counter() - self.started

    def on_train_epoch_end(self, trainer: pl.Trainer, _: pl.LightningModule) -> None:
        total = torch.stack([self.loss, torch.tensor(float(self.seen), device=self.loss.device)])
        loss, seen = trainer.strategy.reduce(total, reduce_op="sum").tolist()  # over all processes
        if not math.isfinite(loss):
            found = f"{self.label}: epoch {trainer.current_epoch + 1}: found a training loss of {loss}"
            raise UsageError(f"{found}; expected a number; lower the learning rate or set train.clip")
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()} | {"train_loss": loss / seen}
        groups = [group for optimizer in trainer.optimizers for group in optimizer.param_groups]
        rates = {"lr": groups[0]["lr"]} if groups else {}  # the closed form has none
        row = {
            "epoch": trainer.current_epoch + 1,
            "time": time.time(),
            "seconds": round(self.spent, 3),
            **rates,
            **metrics,
        }
        self.rows.append(row)
        if trainer.is_global_zero:
            self.report(row)
            self._say(row, trainer.max_epochs or 0)

    def _say(self, row: dict[str, float], epochs: int) -> None:
        """About ten lines per run; on a terminal one line that is updated."""
        line = f"{self.label}: epoch {row['epoch']:.0f}/{epochs}  " + "  ".join(
            f"{name} {value:.4g}" for name, value in row.items() if name not in ("epoch", "time", "lr")
        )
        last = row["epoch"] == epochs
        if sys.stdout.isatty():
            print(f"\r\033[K{line}", end="\n" if last else "", flush=True)
        elif last or row["epoch"] % max(1, epochs // 10) == 0:
            print(line, flush=True)
