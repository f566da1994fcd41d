"""Agents that learn by the project's own stream, and that are killed."""

import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch

from models.control.ppo import PPO
from models.control.q_table import QTable
from pipelines.control import settings
from pipelines.control.data import Data
from roadmap.config.settings import TrainSettings
from roadmap.data import splits
from roadmap.training.callbacks import MetricHistory
from roadmap.training.fitting import quieten
from tests.support.agents import AGENTS, CASES, fit, goes_on_as_before, graph_answers, prepared
from tests.support.checkouts import ROOT


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
        accelerator="cpu", max_epochs=4, enable_progress_bar=False, callbacks=[history],
        num_sanity_val_steps=0, **quiet,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer.fit(agent, stream.module(TrainSettings(epochs=4, batch_size=256, clip=0.5, threads=1), 1))
    rows = history.rows
    assert rows[-1]["steps"] < 100_000
    assert rows[-1]["val_return"] >= 475, rows
    assert rows[-1]["val_loss"] == -rows[-1]["val_return"]
    assert rows[0]["return"] < 150 < rows[-1]["return"]


KILLED = """
import os, sys
from pathlib import Path
from tests.support.agents import CASES, fit, fresh, prepared
for number, (name, environment) in enumerate(CASES):
    folder = Path(sys.argv[1], str(number))
    stream = prepared(folder / "control", environment, limit=30)
    if (child := os.fork()) == 0:
        fit(stream, fresh(name, stream), folder / "killed", stop=1, really=True)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -9
"""


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training of each case, each in a process of its own that kill -9 ended in the second epoch."""
    folder = tmp_path_factory.mktemp("killed")
    subprocess.run([sys.executable, "-W", "ignore", "-c", KILLED, str(folder)], cwd=ROOT, check=True)
    return folder


@pytest.mark.parametrize("number", range(len(CASES)), ids=["-".join(case) for case in CASES])
def test_a_killed_training_ends_with_the_same_curve(number: int, killed: Path) -> None:
    name, environment = CASES[number]
    folder = killed / str(number)
    stream = prepared(folder / "again" / "control", environment, limit=30)
    goes_on_as_before(name, stream, folder, lambda left: None)


@pytest.mark.parametrize("name", AGENTS)
def test_its_graph_answers_any_number_of_requests(name: str, tmp_path: Path) -> None:
    graph_answers(name, tmp_path)


def test_a_table_finds_the_shortest_way_along_the_cliff(tmp_path: Path) -> None:
    """Example 6.6 of Sutton and Barto. What the table learns by itself is in tests/models/control/test_tabular.py."""
    stream = prepared(tmp_path / "control", "CliffWalking-v1", limit=500)
    agent = QTable(**stream.model, environments=32, batches=600, discount=1.0, explore=1, least=0.1, power=0.0)
    rows = fit(stream, agent, tmp_path / "checkpoints", epochs=3).rows
    assert rows[-1]["val_return"] == agent.q[36].max() == -13
    assert rows[-1]["train_loss"] < rows[0]["train_loss"]
