"""params.yaml and the command line: every error is one helpful line, before any work."""

import copy
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from roadmap.config.check import block_of, check, for_choice, for_profile
from roadmap.config.schema import Run
from roadmap.io.errors import UsageError

ROOT = Path(__file__).parents[3]
PARAMS = yaml.safe_load((ROOT / "params.yaml").read_text())
# What conf/config.yaml adds to params.yaml.
COMPOSED = {
    "rollback": False,
    "trainer": yaml.safe_load((ROOT / "roadmap/config/conf/trainer/cpu.yaml").read_text()),
    "tracking": yaml.safe_load((ROOT / "roadmap/config/conf/tracking/none.yaml").read_text()),
}
REMOVE = object()


def composed(project: str = "mnist", profile: str = "sample", **changes: Any) -> dict[str, Any]:
    """The configuration composed by Hydra; `changes` are dotted keys with `__` for the dots."""
    raw = copy.deepcopy({**PARAMS, **COMPOSED, "project": project, "profile": profile})
    for dotted, value in changes.items():
        *parents, last = dotted.split("__")
        node = raw
        for parent in parents:
            node = node.setdefault(parent, {})
        if value is REMOVE:
            del node[last]
        else:
            node[last] = value
    return raw


def refusal(**changes: Any) -> str:
    with pytest.raises(UsageError) as caught:
        check(composed(**changes))
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("profile", ["sample", "full"])
@pytest.mark.parametrize("project", PARAMS["projects"])
def test_every_project_is_valid_under_both_profiles(project: str, profile: str) -> None:
    run = check(composed(project, profile))
    assert isinstance(run, Run)
    assert run.artifacts == Path("artifacts") / project
    assert set(run.models) == {"shipped", *block_of(project, PARAMS["projects"][project], profile)["variants"]}
    assert (ROOT / run.settings.network).exists() and (ROOT / run.settings.inference).exists()


LR, SPLIT = "projects__mnist__model__lr", "projects__mnist__data__split"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"projects__mnist__model__lrr": 0.1}, ["projects.mnist.model.lrr", "unknown key", "did you mean 'lr'"]),
        ({"projects__mnist__trane": {}}, ["projects.mnist.trane", "unknown key", "did you mean 'train'"]),
        ({"projects__mnist__runner": "sagmaker"}, ["projects.mnist.runner", "found 'sagmaker'", "allowed: local"]),
        ({"projects__mnist__schedule": "daily"}, ["projects.mnist.schedule", "found 'daily'"]),
        ({"sed": 1}, ["sed", "unknown key", "did you mean 'seed'"]),
        ({LR: "fast"}, [LR, "found 'fast'", "number"]),
        ({LR: 0}, [LR, "found 0", "greater than 0"]),
        ({LR: float("nan")}, [LR, "found nan"]),
        ({"projects__mnist__train__epochs": 2.5}, ["projects.mnist.train.epochs", "found 2.5", "integer"]),
        ({"projects__titanic__model__dropout": 1}, ["projects.titanic.model.dropout", "found 1", "less than 1"]),
        ({"projects__house_prices__model__optimizer": "sgd"}, ["model.optimizer", "'sgd'", "'svd'", "'gd'", "'adam'"]),
        ({"projects__house_prices__variants__gd": {"lrr": 1}}, ["variants.gd.lrr", "unknown key", "'lr'"]),
        ({"projects__house_prices__variants__gd": {"lr": -1}}, ["variants.gd.lr", "found -1", "greater than 0"]),
        ({"projects__titanic__data__target": "x"}, ["projects.titanic.data", "path and target go together"]),
        ({"projects__mnist__gate": REMOVE}, ["projects.mnist.gate", "missing"]),
        ({"projects__mnist": None}, ["projects.mnist", "found None"]),
        ({SPLIT: [0.5, 0.5]}, [SPLIT]),
        ({SPLIT: [0.5, 0.5, 0.5]}, ["projects.mnist.data", "add up to 1", "[0.5, 0.5, 0.5]"]),
        ({SPLIT: [1.2, -0.1, -0.1]}, ["projects.mnist.data", "positive"]),
        ({SPLIT: [float("nan"), 0.5, 0.5]}, ["projects.mnist.data", "nan"]),
        ({"seed": -1}, ["seed", "found -1", "greater than or equal to 0"]),
        ({"profile": "ful"}, ["profile", "found 'ful'", "did you mean 'full'"]),
    ],
)
def test_an_error_names_file_key_found_and_allowed(change: dict[str, Any], expected: list[str]) -> None:
    message = refusal(**change)
    assert message.startswith("params.yaml: ")
    for part in expected:
        assert part.replace("__", ".") in message


def test_deprecated_gate_keys_are_accepted_with_a_warning(capsys: pytest.CaptureFixture[str]) -> None:
    raw = composed()
    gate = raw["projects"]["mnist"]["gate"]
    gate["effect"], gate["margin"] = gate.pop("minimum_improvement"), gate.pop("maximum_regression")
    assert check(raw) == check(composed())
    assert "warning: params.yaml: gate.effect is now called minimum_improvement; rename it" in capsys.readouterr().err
    assert "found both; keep minimum_improvement" in refusal(projects__mnist__gate__effect=0.1)


def test_a_misspelt_block_is_reported_as_unknown() -> None:
    raw = composed()
    raw["projects"]["mnist"]["trian"] = raw["projects"]["mnist"].pop("train")
    with pytest.raises(UsageError, match=r"projects\.mnist\.trian: unknown key; did you mean 'train'"):
        check(raw)


@pytest.mark.parametrize("key", ["name", "models", "project_"])
def test_no_top_level_key_is_accepted_without_effect(key: str) -> None:
    assert key in refusal(**{key: "x"})


def test_an_unknown_project_gets_the_nearest_name_and_the_list() -> None:
    message = refusal(project="mist")
    assert "project: found 'mist'; did you mean 'mnist'?" in message
    assert all(name in message for name in PARAMS["projects"])


@pytest.mark.parametrize("name", [False, True, None, 7])
def test_project_names_that_yaml_converts_must_be_quoted(name: Any) -> None:
    """`no` is a name for DVC, which reads YAML 1.2, and false for Hydra."""
    raw = {**PARAMS, "projects": {name: {}, **PARAMS["projects"]}, "project": "mnist"}
    with pytest.raises(UsageError, match=rf"found the name {str(name).lower()}, .*put the name in quotes"):
        check(raw)


def test_a_project_needs_its_folder() -> None:
    message = refusal(projects__no_such_thing=copy.deepcopy(PARAMS["projects"]["mnist"]))
    assert message.startswith("params.yaml: projects.no_such_thing: ")
    assert "pipelines/no_such_thing/settings.py" in message


@pytest.mark.parametrize(
    "target",
    ["os.system", "models.titanic.Classifier", "models.mnist.sub.CNN", "builtins.eval", "models.mnist", 3, None],
)
def test_only_classes_of_the_network_file_are_instantiated(target: Any) -> None:
    assert "_target_" in refusal(projects__mnist__model___target_=target)
    assert "_target_" in refusal(projects__mnist__variants__other={"_target_": target})


def test_an_unknown_network_class_is_rejected_before_training() -> None:
    message = refusal(projects__mnist__model={**PARAMS["projects"]["mnist"]["model"], "_target_": "models.mnist.CNM"})
    assert "projects.mnist" in message and "CNM" in message and "CNN" in message


def test_a_variant_cannot_replace_the_shipped_model() -> None:
    assert "shipped" in refusal(projects__mnist__variants={"shipped": {"lr": 1.0}})


def test_values_by_profile_resolve_at_any_depth() -> None:
    node = {"a": {"sample": 1, "full": {"b": {"sample": 2, "full": 3}}}, "c": [{"sample": [4], "full": 5}], "d": {}}
    assert for_profile(node, "sample") == {"a": 1, "c": [[4]], "d": {}}
    assert for_profile(node, "full") == {"a": {"b": 3}, "c": [5], "d": {}}


def test_values_by_another_value_resolve_at_any_depth() -> None:
    node = {"a": {"b": {"lake": 1, "other": 2}}, "c": {"lake": {"d": 3}, "other": {"d": 4}}, "e": 5}
    assert for_choice(node, "lake") == {"a": {"b": 1}, "c": {"d": 3}, "e": 5}
    assert for_choice(node, "sea") == {"a": {"b": 2}, "c": {"d": 4}, "e": 5}


def test_a_setting_beside_blocks_of_settings_is_refused_and_not_ignored() -> None:
    message = refusal(project="control", projects__control__model__lr=0.1)
    assert message.startswith("params.yaml: projects.control.model.lr: found 0.1")
    assert message.endswith("; set projects.control.model.CartPole-v1.lr")


def test_a_plain_value_applies_to_both_profiles() -> None:
    for profile in ("sample", "full"):
        run = check(composed(profile=profile, projects__mnist__train__epochs=3))
        assert run.settings.train.epochs == 3


def test_a_value_missing_for_the_profile_is_named() -> None:
    message = refusal(profile="full", projects__mnist__train__epochs={"sample": 3})
    assert message.startswith("params.yaml: projects.mnist.train.epochs: ")
    assert "full" in message


def test_the_parameters_hash_covers_exactly_what_defines_the_model() -> None:
    first = check(composed()).params_sha256()
    assert check(composed(projects__mnist__gate__floor=0.5, rollback=True)).params_sha256() == first
    assert check(composed(projects__titanic__model__lr=0.5)).params_sha256() == first
    variants = {"projects__mnist__variants": {"x": {"lr": 1}}}
    changed: list[dict[str, Any]] = [{LR: 0.04}, {"seed": 1}, {"profile": "full"}, variants]
    assert len({first, *(check(composed(**change)).params_sha256() for change in changed)}) == 5


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what `python -m pipelines.prepare` needs, and nothing else."""
    folder = tmp_path_factory.mktemp("stages")
    for name in ("roadmap", "pipelines", "models"):
        shutil.copytree(ROOT / name, folder / name)
    shutil.copy(ROOT / "params.yaml", folder)
    return folder


def prepare(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if k not in ("TRAINER", "TRACKING", "PYTHONPATH")}
    return subprocess.run(
        [sys.executable, "-m", "pipelines.prepare", *arguments],
        cwd=folder,
        env={**environment, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=60,
    )


def assert_refused(done: subprocess.CompletedProcess[str], expected: str) -> None:
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""
    assert expected in done.stderr
    assert done.returncode == 2


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["projects.mnist.model.lrr=1"], "command line: projects.mnist.model.lrr: unknown key; did you mean 'lr'?"),
        (["projects.mnist.model.lr=fast"], "command line: projects.mnist.model.lr: found 'fast'; should be a valid"),
        (["projects.mnist.data.split=[1,1,1]"], "command line: projects.mnist.data"),
        (["project=mist", "profile=full"], "command line: project: found 'mist'; did you mean 'mnist'? allowed: "),
        (["trainer=gup"], "command line: trainer: found 'gup'; did you mean 'gpu'? allowed: cpu, "),
        (["seed=[1"], "command line: "),
        (["projects.mnist.train.epochs=${seeed}"], "command line: projects.mnist.train.epochs: "),
        (["--multirun", "seed=1,2"], "--multirun"),
    ],
)
def test_command_line_errors_are_one_line_and_write_nothing(stages: Path, arguments: list[str], expected: str) -> None:
    before = sorted(stages.rglob("*"))
    assert_refused(prepare(stages, "project=mnist", *arguments), expected)
    assert sorted(stages.rglob("*")) == before


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"profile: sample\nprojects: {mnist: [}\n", "params.yaml"),
        (b"profile: sample\nseed: 1\nseed: 2\n", "seed"),
        (None, "params.yaml"),
    ],
    ids=["not YAML", "key given twice", "no file"],
)
def test_an_unreadable_params_yaml_is_one_line(
    stages: Path, tmp_path: Path, content: bytes | None, expected: str
) -> None:
    for name in ("roadmap", "pipelines", "models"):
        (tmp_path / name).symlink_to(stages / name)
    if content is not None:
        (tmp_path / "params.yaml").write_bytes(content)
    done = prepare(tmp_path, "project=mnist")
    assert_refused(done, expected)
    assert "params.yaml" in done.stderr
