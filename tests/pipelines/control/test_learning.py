"""Agents and the project's stream under Lightning: a killed training ends with the same curve."""

import warnings
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
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
from roadmap.io.errors import UsageError
from roadmap.training.callbacks import LocalFiles, MetricHistory, ResumeCheckpoint
from roadmap.training.export import export
from roadmap.training.fitting import quieten

TRAIN = TrainSettings(epochs=4, batch_size=64, threads=1, clip=0.5)


def prepared(folder: Path, environment: str = "CartPole-v1", **changes: Any) -> TrainingStream:
    data = settings.Data(split=(0.4, 0.2, 0.4), environment=environment, starts=100, **changes)
    splits.write(folder, Data().prepare(data, "sample", 0), "sample")
    return Data().training(folder)


def fit(stream: TrainingStream, agent: Agent, checkpoints: Path, epochs: int, stop: int | None = None) -> MetricHistory:
    """stop: the epoch after which the process is killed"""
    quieten()
    history, resumable = MetricHistory("control", lambda row: None), ResumeCheckpoint(checkpoints, 0, seconds=0.0)

    class Kill(pl.Callback):
        def on_train_epoch_start(self, trainer: pl.Trainer, _: pl.LightningModule) -> None:
            if trainer.current_epoch == stop:
                raise KeyError("killed")

    quiet: dict[str, Any] = dict.fromkeys(("logger", "enable_checkpointing", "enable_model_summary"), False)
    trainer = pl.Trainer(
        accelerator="cpu", max_epochs=epochs, gradient_clip_val=TRAIN.clip, enable_progress_bar=False,
        num_sanity_val_steps=0, callbacks=[history, resumable, Kill()], plugins=[LocalFiles()], **quiet,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            trainer.fit(agent, stream.module(TRAIN, 7), ckpt_path=resumable.checkpoint(agent), weights_only=True)
        except KeyError:
            assert stop is not None
    return history


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


def curve(history: MetricHistory) -> list[dict[str, float]]:
    return [{name: value for name, value in row.items() if name not in ("time", "seconds")} for row in history.rows]


@pytest.mark.parametrize(
    ("name", "environment"),
    [
        *product(("ppo", "a2c", "reinforce", "dqn"), ["CartPole-v1"]),
        *product(("dqn", "q_learning", "sarsa"), ["FrozenLake-v1"]),
        ("ppo", "Acrobot-v1"),
    ],
)
def test_a_killed_training_ends_with_the_same_curve(name: str, environment: str, tmp_path: Path) -> None:
    """Ours and gymnasium's: the environment's state, the memory, the scales and all generators come back."""
    stream = prepared(tmp_path / "control", environment, limit=30)

    def fresh() -> Agent:
        torch.manual_seed(1)
        return AGENTS[name](stream.model)

    whole = fresh()
    expected = curve(fit(stream, whole, tmp_path / "whole", epochs=4))
    fit(stream, fresh(), tmp_path / "killed", epochs=4, stop=2)
    again = fresh()
    with torch.no_grad():
        for parameter in again.parameters():
            parameter.zero_()
    found = curve(fit(stream, again, tmp_path / "killed", epochs=4))
    assert len(expected) == 4 and expected[-1]["steps"] > expected[0]["steps"] > 0
    assert found == expected
    for key, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[key]), key


@pytest.mark.parametrize("name", ["ppo", "dqn", "q_learning"])
def test_its_graph_answers_any_number_of_requests(name: str, tmp_path: Path) -> None:
    stream = prepared(tmp_path / "control", "FrozenLake-v1")
    agent = AGENTS[name](stream.model).eval()
    export(agent, stream.example, tmp_path)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    for n in (1, 7):
        x = np.eye(16, dtype=np.float32)[np.arange(n)]
        chances, values = session.run(None, {"observations": x})
        assert chances.shape == (n, 4) and values.shape == (n,)
        np.testing.assert_allclose(chances.sum(axis=1), 1.0, atol=1e-5)
        with torch.no_grad():
            expected, _ = agent(torch.from_numpy(x))
        assert np.array_equal(chances.argmax(axis=1), expected.argmax(dim=-1).numpy())


def test_a_table_finds_the_shortest_way_along_the_cliff(tmp_path: Path) -> None:
    """Example 6.6 of Sutton and Barto. What the table learns by itself is in tests/models/control/test_tabular.py."""
    stream = prepared(tmp_path / "control", "CliffWalking-v1", limit=500)
    agent = QTable(**stream.model, environments=32, batches=600, discount=1.0, explore=1, least=0.1, power=0.0)
    rows = fit(stream, agent, tmp_path / "checkpoints", epochs=3).rows
    assert rows[-1]["val_return"] == agent.q[36].max() == -13
    assert rows[-1]["train_loss"] < rows[0]["train_loss"]


def test_starts_are_kept_back(tmp_path: Path) -> None:
    prepared(tmp_path / "control")
    seeds = {name: splits.read_arrays(tmp_path / "control", name)["seeds"] for name in ("train", "val", "test")}
    together = np.concatenate(list(seeds.values()))
    assert {name: len(part) for name, part in seeds.items()} == {"train": 40, "val": 20, "test": 40}
    assert len(np.unique(together)) == 100 and together.min() >= 2**31, "which training never draws"
    requests, targets = Data().test_rows(tmp_path / "control")
    assert np.array_equal(targets["seed"], seeds["test"])
    assert len({tuple(request["observation"]) for request in requests}) == 40


def test_several_processes_are_refused(tmp_path: Path) -> None:
    stream = prepared(tmp_path / "control")
    module = stream.module(TRAIN, 0)

    class Trainer:
        world_size, lightning_module = 2, None

    module.trainer = Trainer()  # type: ignore[assignment]
    with pytest.raises(UsageError, match="found 2 processes; expected one"):
        module.train_dataloader()
