"""The settings of each agent are its arguments, and every environment has some."""

import importlib
import inspect
from pathlib import Path

import pytest
import yaml

from pipelines.control.data.names import ACTIONS
from pipelines.control.settings import AGENTS
from roadmap.config.check import check

GIVEN = {"self", "observations", "actions"}  # by the data


@pytest.mark.parametrize("target", AGENTS)
def test_the_keys_of_an_agent_are_its_arguments(target: str) -> None:
    module, _, name = target.rpartition(".")
    arguments = inspect.signature(getattr(importlib.import_module(module), name).__init__).parameters
    keys = {field.alias or key for key, field in AGENTS[target].model_fields.items()} - {"_target_"}
    assert keys == set(arguments) - GIVEN


@pytest.mark.parametrize("environment", [*ACTIONS, "module:Mine"])
def test_a_word_chooses_an_environment_with_all_its_settings(environment: str) -> None:
    raw = yaml.safe_load(Path("params.yaml").read_text())
    raw["projects"]["control"]["data"]["environment"] = environment
    trainer = yaml.safe_load(Path("roadmap/config/conf/trainer/cpu.yaml").read_text())
    run = check({**raw, "project": "control", "trainer": trainer, "tracking": {}})
    table = environment in ("FrozenLake-v1", "Taxi-v4")
    assert run.models["shipped"].target_.endswith("QTable" if table else "PPO")
    assert (run.settings.gate.floor > -1000) == (environment in raw["projects"]["control"]["model"])
