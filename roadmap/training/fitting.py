"""Training with Lightning: one network, or several in sequence, each with access to the earlier ones."""

import importlib
import logging
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from roadmap.config.schema import SHIPPED, Run
from roadmap.config.settings import EarlierNetwork, ModelSettings, TrainSettings
from roadmap.data.training_set import MODEL, Fits, TrainingData, TrainingSet
from roadmap.io.errors import UsageError
from roadmap.training.batches import InMemoryDataModule
from roadmap.training.callbacks import LocalFiles, MetricHistory, ResumeCheckpoint
from roadmap.training.lightning import pl
from roadmap.training.strategies import ClipGlobalNorm, Layout, strategy_of


@dataclass(frozen=True)
class Fitted:
    """A trained network on the CPU, its training data and its history."""

    network: pl.LightningModule
    data: TrainingData
    history: MetricHistory

    @property
    def parameters(self) -> int:
        return sum(parameter.numel() for parameter in self.network.parameters())


Report = Callable[[str, dict[str, float]], None]  # name of a curve, its new row


def fit_all(run: Run, variant: str, fits: Fits, folder: Path, report: Report) -> dict[str, Fitted]:
    """Trains the networks of a variant in order; returns them by name, `model` last.

    folder: of the checkpoints

    Raises:
        UsageError: the project's networks differ from `model:` in params.yaml.
    """
    model = run.models[variant]
    blocks: dict[str, ModelSettings] = {**model.earlier(), MODEL: model}
    if list(fits) != (declared := [*model.networks(), MODEL]):
        found, expected = ", ".join(fits), ", ".join(declared)
        raise UsageError(
            f"pipelines/{run.name}/data: training(...): found networks {found}; expected {expected}, as in params.yaml"
        )
    done: dict[str, Fitted] = {}
    for name, block in blocks.items():
        data = fits[name]({earlier: fitted.network for earlier, fitted in done.items()})
        settings = block.train if isinstance(block, EarlierNetwork) else run.settings.train
        curve, place = curve_of(variant, name), folder if name == MODEL else folder / name
        done[name] = fit(run, curve, block, settings, data, place, report)
    return done


def curve_of(variant: str, network: str) -> str:
    """The name of a network's history: `shipped` or `<variant>`, plus the network's name for an earlier one."""
    return "/".join([variant] * (variant != SHIPPED) + [network] * (network != MODEL)) or SHIPPED


def fit(
    run: Run,
    curve: str,
    model: ModelSettings,
    settings: TrainSettings,
    data: TrainingData,
    folder: Path,
    report: Report,
    callbacks: Sequence[pl.Callback] = (),
) -> Fitted:
    """Trains one network, from its last checkpoint in `folder` if any.

    callbacks: further ones; gradients are not clipped yet when they are called
    """
    quieten()
    if settings.threads:
        torch.set_num_threads(settings.threads)
    pl.seed_everything(run.seed, verbose=False)
    network = build(model, data)
    by_itself = not network.automatic_optimization  # it steps, and clips
    if settings.accumulate > 1 and by_itself:
        found = f"found {settings.accumulate}; expected 1, as {type(network).__name__} steps by itself; set 1"
        raise UsageError(f"train.accumulate: {found}")
    batches = (
        InMemoryDataModule(data, settings, run.seed)
        if isinstance(data, TrainingSet)
        else data.module(settings, run.seed)
    )
    history = MetricHistory(run.name if curve == SHIPPED else f"{run.name}/{curve}", lambda row: report(curve, row))
    resumable = ResumeCheckpoint(folder, run.seed)
    given = run.trainer
    strategy = strategy_of(given)
    precision = precision_for(given.precision, settings.bf16, given.accelerator)
    clipping = [ClipGlobalNorm(settings.clip)] if settings.clip and not by_itself else []
    trainer = pl.Trainer(
        **{**given.lightning(), "precision": precision, "strategy": strategy},
        max_epochs=settings.epochs,
        accumulate_grad_batches=settings.accumulate,
        callbacks=[history, resumable, *callbacks, *clipping],
        plugins=[LocalFiles()],
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=sys.stderr.isatty(),
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
    )
    trainer.fit(network, batches, ckpt_path=resumable.checkpoint(network), weights_only=True)
    if isinstance(strategy, Layout):
        weights = strategy.lightning_module_state_dict()
        network = build(model, data).to(next(iter(weights.values())).dtype)
        network.load_state_dict(weights)
    return Fitted(network.eval().cpu(), data, history)


def build(model: ModelSettings, data: TrainingData) -> pl.LightningModule:
    module, _, cls = model.target_.rpartition(".")
    network: pl.LightningModule = getattr(importlib.import_module(module), cls)(**data.model, **model.kwargs())
    return network


def precision_for(given: str, bf16: bool, accelerator: str = "cpu") -> str:
    """The trainer's precision, or bfloat16 autocast if requested and faster on this CPU."""
    if not bf16 or accelerator != "cpu":
        return given
    cpu = torch.cpu.get_capabilities()
    return "bf16-mixed" if cpu.get("avx512_bf16") or cpu.get("amx_bf16") else given


def quieten() -> None:
    """Suppresses Lightning's hints."""
    warnings.filterwarnings("ignore", module="pytorch_lightning")
    warnings.filterwarnings("ignore", module="torch")
    for name in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
