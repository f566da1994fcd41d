"""Every agent of the project `control`, as small as it learns, and its training: killed where a test wants it."""

import os
import signal
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytorch_lightning as pl
import torch

from models.control.a2c import A2C
from models.control.agent import Agent
from models.control.dqn import DQN
from models.control.ppo import PPO
from models.control.q_table import QTable
from models.control.reinforce import REINFORCE
from pipelines.control import settings
from pipelines.control.data import Data
from roadmap.config.settings import TrainSettings
from roadmap.data import splits
from roadmap.data.training_set import TrainingStream
from roadmap.training.callbacks import LocalFiles, MetricHistory, ResumeCheckpoint
from roadmap.training.export import export
from roadmap.training.fitting import quieten

TRAIN = TrainSettings(epochs=3, batch_size=64, threads=1, clip=0.5)
Sizes = dict[str, Any]
AGENTS: dict[str, Callable[[Sizes], Agent]] = {
    "ppo": lambda sizes: PPO(**sizes, environments=4, steps=32, rollouts=2, scale=True),
    "a2c": lambda sizes: A2C(**sizes, environments=4, rollouts=10, scale=True),
    "reinforce": lambda sizes: REINFORCE(**sizes, environments=4, batches=2),
    "dqn": lambda sizes: DQN(
        **sizes, environments=4, batches=30, capacity=300, start=100, explore=300, renew=20, double=True, duelling=True,
        prioritised=True,
    ),
    "q_learning": lambda sizes: QTable(**sizes, environments=4, batches=50, explore=300),
    "sarsa": lambda sizes: QTable(**sizes, environments=4, batches=50, explore=300, on_policy=True),
}  # fmt: skip
CASES = [
    *((name, "CartPole-v1") for name in ("ppo", "a2c", "reinforce", "dqn")),
    *((name, "FrozenLake-v1") for name in ("q_learning", "sarsa")),
    ("ppo", "LunarLander-v3"),  # gymnasium's
]


def prepared(folder: Path, environment: str = "CartPole-v1", starts: int = 30, **changes: Any) -> TrainingStream:
    data = settings.Data(split=(0.4, 0.2, 0.4), environment=environment, starts=starts, **changes)
    splits.write(folder, Data().prepare(data, "sample", 0), "sample")
    return Data().training(folder)


def fresh(name: str, stream: TrainingStream) -> Agent:
    torch.manual_seed(1)
    return AGENTS[name](stream.model)


class Kill(pl.Callback):
    """In the middle of an epoch, whose first batches are lost. really: by SIGKILL, and not by an exception"""

    def __init__(self, epoch: int, really: bool) -> None:
        self.epoch, self.really = epoch, really

    def on_train_batch_end(self, trainer: pl.Trainer, *_: object) -> None:
        if trainer.current_epoch == self.epoch:
            if self.really:
                os.kill(os.getpid(), signal.SIGKILL)
            raise KeyError("killed")


def fit(
    stream: TrainingStream, agent: Agent, checkpoints: Path, epochs: int = 3, stop: int | None = None,
    really: bool = False,
) -> MetricHistory:  # fmt: skip
    """Goes on from a checkpoint, if there is one. stop: the epoch in which it is killed"""
    quieten()
    history, resumable = MetricHistory("control", lambda row: None), ResumeCheckpoint(checkpoints, 0, seconds=0.0)
    callbacks: list[pl.Callback] = [history, resumable]
    if stop is not None:
        callbacks.append(Kill(stop, really))
    quiet: dict[str, Any] = dict.fromkeys(("logger", "enable_checkpointing", "enable_model_summary"), False)
    trainer = pl.Trainer(
        accelerator="cpu", max_epochs=epochs, enable_progress_bar=False,
        gradient_clip_val=TRAIN.clip if agent.automatic_optimization else None,
        num_sanity_val_steps=0, callbacks=callbacks, plugins=[LocalFiles()], **quiet,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            trainer.fit(agent, stream.module(TRAIN, 7), ckpt_path=resumable.checkpoint(agent), weights_only=True)
        except KeyError:
            assert stop is not None
    return history


def curve(history: MetricHistory) -> list[dict[str, float]]:
    return [{name: value for name, value in row.items() if name not in ("time", "seconds")} for row in history.rows]


def goes_on_as_before(name: str, stream: TrainingStream, folder: Path, kill: Callable[[Path], object]) -> None:
    """A training that `kill` leaves in this folder ends with the curve and the weights of one that ran through."""
    whole = fresh(name, stream)
    expected = curve(fit(stream, whole, folder / "whole"))
    kill(folder / "killed")
    assert (folder / "killed" / "last.ckpt").exists()
    again = fresh(name, stream)
    with torch.no_grad():
        for parameter in again.parameters():
            parameter.zero_()
    found = curve(fit(stream, again, folder / "killed"))
    assert len(expected) == 3 and expected[-1]["steps"] > expected[0]["steps"] > 0
    assert found == expected
    for key, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[key]), key


def graph_answers(name: str, folder: Path) -> None:
    """The exported graph takes one observation or several, and says what the agent says."""
    stream = prepared(folder / "control", "FrozenLake-v1")
    agent = fresh(name, stream).eval()
    export(agent, stream.example, folder)
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    for n in (1, 7):
        x = np.eye(16, dtype=np.float32)[np.arange(n)]
        chances, values = session.run(None, {"observations": x})
        assert chances.shape == (n, 4) and values.shape == (n,)
        np.testing.assert_allclose(chances.sum(axis=1), 1.0, atol=1e-5)
        with torch.no_grad():
            expected, _ = agent(torch.from_numpy(x))
        assert np.array_equal(chances.argmax(axis=1), expected.argmax(dim=-1).numpy())
