"""Agents that learn to hold a pole up, by the project's own stream."""

import warnings
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch

from models.control.ppo import PPO
from pipelines.control import settings
from pipelines.control.data import Data
from roadmap.config.settings import TrainSettings
from roadmap.data import splits
from roadmap.training.callbacks import MetricHistory
from roadmap.training.fitting import quieten


def test_the_pole_stays_up_within_100_000_steps(tmp_path: Path) -> None:
    data = settings.Data(split=(0.4, 0.2, 0.4), environment="CartPole-v1", starts=100)
    splits.write(tmp_path / "control", Data().prepare(data, "sample", 0), "sample")
    stream = Data().training(tmp_path / "control")
    torch.manual_seed(1)
    agent = PPO(**stream.model, rollouts=24)
    quieten()
    history = MetricHistory("control", lambda row: None)
    quiet: dict[str, Any] = dict.fromkeys(("logger", "enable_checkpointing", "enable_model_summary"), False)
    trainer = pl.Trainer(
        accelerator="cpu", max_epochs=4, gradient_clip_val=0.5, enable_progress_bar=False, callbacks=[history],
        num_sanity_val_steps=0, **quiet,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer.fit(agent, stream.module(TrainSettings(epochs=4, batch_size=256, threads=1), 1))
    rows = history.rows
    assert rows[-1]["steps"] < 100_000
    assert rows[-1]["val_return"] >= 475, rows
    assert rows[-1]["val_loss"] == -rows[-1]["val_return"]
    assert rows[0]["return"] < 150 < rows[-1]["return"]
