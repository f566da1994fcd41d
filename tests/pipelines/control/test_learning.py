"""Agents and the project's stream under Lightning: a training that was broken off ends with the same curve."""

from pathlib import Path

import numpy as np
import pytest

from pipelines.control import settings
from pipelines.control.data import Data
from roadmap.data import splits
from roadmap.io.errors import UsageError
from tests.support.agents import CASES, TRAIN, fit, fresh, goes_on_as_before, graph_answers, prepared


def test_every_agent_is_among_those_that_are_killed(tmp_path: Path) -> None:
    stream = prepared(tmp_path / "control", "FrozenLake-v1")
    classes = {type(fresh(name, stream)) for name, _ in CASES}
    assert {f"{one.__module__}.{one.__name__}" for one in classes} == set(settings.AGENTS)


@pytest.mark.parametrize(("name", "environment"), CASES)
def test_a_broken_off_training_ends_with_the_same_curve(name: str, environment: str, tmp_path: Path) -> None:
    """Ours and gymnasium's: the environment's state, the memory, the scales and all generators come back."""
    stream = prepared(tmp_path / "control", environment, limit=30)
    goes_on_as_before(name, stream, tmp_path, lambda folder: fit(stream, fresh(name, stream), folder, stop=1))


def test_its_graph_answers_any_number_of_requests(tmp_path: Path) -> None:
    """tests/system/test_control.py has the other agents'."""
    graph_answers("q_learning", tmp_path)


def test_starts_are_kept_back(tmp_path: Path) -> None:
    prepared(tmp_path / "control", starts=100)
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
