"""The settings of each method are its arguments, and all of them train as variants of each other."""

import importlib
import inspect
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines.rlhf.settings import METHODS
from roadmap.config.check import check
from roadmap.io.errors import UsageError

README = Path("pipelines/rlhf/README.md")
GIVEN = {"self", "shared", "reference", "reward_model", "new", "end"}  # by the data


def checked(**changes: Any) -> Any:
    raw = yaml.safe_load(Path("params.yaml").read_text())
    block = raw["projects"]["rlhf"]
    block["variants"] = changes.pop("variants", {})
    block["model"] |= changes
    trainer = yaml.safe_load(Path("roadmap/config/conf/trainer/cpu.yaml").read_text())
    return check({**raw, "project": "rlhf", "trainer": trainer, "tracking": {}})


@pytest.mark.parametrize("target", METHODS)
def test_the_keys_of_a_method_are_its_arguments(target: str) -> None:
    module, _, name = target.rpartition(".")
    cls = getattr(importlib.import_module(module), name)
    arguments = {argument for one in cls.__mro__[:2] for argument in inspect.signature(one.__init__).parameters}
    keys = {field.alias or key for key, field in METHODS[target].model_fields.items()} - {"_target_"}
    assert keys - {"reference", "reward_model"} == arguments - GIVEN


def test_the_other_methods_are_variants_as_the_readme_has_them() -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", README.read_text(), re.DOTALL)
    models = checked(variants=yaml.safe_load(block)["variants"]).models
    assert {model.target_ for model in models.values()} == set(METHODS)
    assert models["ppo"].kwargs()["trace"] == 0.95 and models["dpo"].group == 2
    assert list(models["dpo"].networks()) == ["reference", "reward_model"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"group": 7}, "samples must be a multiple of group"),
        ({"group": 1}, "group must be at least 2"),
        ({"signal": "mine"}, "signal"),
        ({"_target_": "models.decoders.rlhf.dpo.DPO", "group": 4}, "group"),
    ],
)
def test_settings_that_cannot_train(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        checked(**changes)
