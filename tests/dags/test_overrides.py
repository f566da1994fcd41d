"""Overrides of a run: each sets one key of params.yaml, as Hydra reads it."""

from typing import Any

import pytest
import yaml
from dvc_airflow import workspace
from dvc_airflow.workspace import OverrideError

from tests.support.checkouts import ROOT
from tests.support.repositories import PARAMS


@pytest.mark.parametrize(
    ("override", "key", "value"),
    [
        ("seed=7", "seed", 7),
        ("projects.one.epochs=5", "projects.one.epochs", 5),
        (" projects.one.epochs = 5 ", "projects.one.epochs", 5),
        ("lr=0.5", "lr", 0.5),
        ("lr=2e-4", "lr", 2e-4),
        ("names=[c, d]", "names", ["c", "d"]),
        ("projects.one.until=null", "projects.one.until", None),
        ("projects.one.until=a=b", "projects.one.until", "a=b"),
        ("projects.one.until=2020-01-31", "projects.one.until", "2020-01-31"),
        ("seed=", "seed", None),
        ("+projects.two.epochs=1", "projects.two", {"epochs": 1}),
        ("~projects.one.until", "projects.one", {"epochs": 3}),
    ],
)
def test_an_override_sets_one_key_as_hydra_reads_it(override: str, key: str, value: Any) -> None:
    from omegaconf import OmegaConf

    found = OmegaConf.to_container(OmegaConf.create(workspace.override(PARAMS, [override])))
    before = OmegaConf.to_container(OmegaConf.create(PARAMS))
    for name in key.split("."):
        found = found[name]  # type: ignore[index,call-overload]
    assert found == value and type(found) is type(value)
    changed = OmegaConf.to_container(OmegaConf.create(workspace.override(PARAMS, [override])))
    top = key.partition(".")[0]
    assert {**changed, top: None} == {**before, top: None}, "only this one"  # type: ignore[dict-item]


def test_without_overrides_params_are_unchanged() -> None:
    assert workspace.override(PARAMS, []) == PARAMS


@pytest.mark.parametrize(
    ("override", "output"),
    [
        ("epochs", "expected key=value, such as"),
        ("=3", "expected key=value"),
        ("~seed=3", "expected key=value"),
        ("sed=3", "params.yaml has no 'sed'; allowed: seed, lr, names, projects"),
        ("projects.one.epoch=3", "projects.one has no 'epoch'; allowed: epochs, until"),
        ("projects.two.epochs=3", "projects has no 'two'; allowed: one"),
        ("seed.deep=3", "seed has no 'deep'; allowed: nothing, it is a value"),
        ("+seed.deep=3", "seed has no 'deep'; allowed: nothing, it is a value"),
        ("~gone", "params.yaml has no 'gone'"),
        ("names=[a", "is not a YAML value"),
    ],
)
def test_an_invalid_override_names_the_allowed_keys(override: str, output: str) -> None:
    with pytest.raises(OverrideError) as caught:
        workspace.override(PARAMS, [override])
    assert output in str(caught.value) and repr(override) in str(caught.value)


def test_every_key_of_params_can_be_overridden() -> None:
    text = (ROOT / "params.yaml").read_text()
    changed = yaml.safe_load(workspace.override(text, ["seed=7"]))
    assert changed == {**yaml.safe_load(text), "seed": 7}
    assert list(changed["projects"]) == list(yaml.safe_load(text)["projects"]), "in order"
