"""The settings of each agent are its arguments, and those that the README shows are valid."""

import importlib
import inspect
import re
from pathlib import Path

import pytest
import yaml

from pipelines.control.settings import AGENTS
from roadmap.config.check import check

README = Path("pipelines/control/README.md")
GIVEN = {"self", "observations", "actions"}  # by the data


@pytest.mark.parametrize("target", AGENTS)
def test_the_keys_of_an_agent_are_its_arguments(target: str) -> None:
    module, _, name = target.rpartition(".")
    arguments = inspect.signature(getattr(importlib.import_module(module), name).__init__).parameters
    keys = {field.alias or key for key, field in AGENTS[target].model_fields.items()} - {"_target_"}
    assert keys == set(arguments) - GIVEN


def test_the_grid_world_of_the_readme_is_valid() -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", README.read_text(), re.DOTALL)
    raw = yaml.safe_load(Path("params.yaml").read_text())
    raw["projects"]["control"] |= yaml.safe_load(block)
    run = check({**raw, "project": "control", "trainer": {}, "tracking": {}})
    assert run.settings.data.environment == "FrozenLake-v1"
    assert run.models["shipped"].target_ in AGENTS
