"""Every project of params.yaml keeps the contract that the stages and the server rely on."""

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from roadmap.config.check import block_of
from roadmap.project import load_project
from tests.support.checkouts import ROOT, Checkout, environment

PROJECTS = list(yaml.safe_load((ROOT / "params.yaml").read_text())["projects"])
each_project = pytest.mark.parametrize("project", PROJECTS)


@each_project
def test_a_project_has_its_required_members(project: str) -> None:
    found = load_project(project)
    for member in ("settings", "data", "predictor", "evaluation", "monitoring", "behaviour", "report"):
        getattr(found, member)  # raises where one is missing, or lacks a method
    assert (ROOT / "pipelines" / project / "README.md").is_file()


@each_project
def test_a_block_has_every_key_that_dvc_watches(project: str) -> None:
    """DVC stops at a key that is missing, though the schema has a default for it."""
    block = yaml.safe_load((ROOT / "params.yaml").read_text())["projects"][project]
    assert block.keys() >= {"data", "model", "train", "variants", "export", "gate"}


@each_project
def test_serving_a_project_needs_no_training_library(project: str) -> None:
    code = f"import sys, pipelines.{project}.predict; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    heavy = {"torch", "pytorch_lightning", "mlflow", "sklearn", "pandas", "hydra"} & set(done.stdout.split())
    assert not heavy


@each_project
def test_every_settings_key_has_a_description(project: str) -> None:
    settings = importlib.import_module(f"pipelines.{project}.settings")
    block = block_of(project, yaml.safe_load((ROOT / "params.yaml").read_text())["projects"][project], "sample")
    for schema, keys in ((settings.Data, block["data"]), (settings.Model, block["model"])):
        assert {field.alias or name for name, field in schema.model_fields.items()} == set(keys)


@pytest.mark.slow
@each_project
def test_a_bundle_contains_no_local_paths(reproduced: Checkout, project: str) -> None:
    for path in filter(Path.is_file, reproduced.path("artifacts", project, "bundle").rglob("*")):
        content = path.read_bytes()
        assert str(reproduced.folder).encode() not in content and b"site-packages" not in content, path.name


@pytest.mark.slow
@each_project
def test_metrics_have_the_compared_figures(reproduced: Checkout, project: str) -> None:
    metrics = json.loads(reproduced.path("artifacts", project, "metrics.json").read_text())
    headline = metrics["headline"]
    assert headline["ci95_low"] <= headline["value"] <= headline["ci95_high"]
    assert metrics["baselines"] and all("test" in row for row in metrics["baselines"].values())
    assert set(metrics["latency"]) == {"batch_1", "batch_64"}
    for key in ("size_bytes", "seconds", "git_commit", "data_sha256", "bundle_version", "profile"):
        assert metrics[key]
    card = json.loads(reproduced.path("data", project, "card.json").read_text())
    assert metrics["data_sha256"] == card["sha256"]


@pytest.mark.slow
@each_project
def test_a_project_has_behavioural_checks_and_slices(reproduced: Checkout, project: str) -> None:
    metrics = json.loads(reproduced.path("artifacts", project, "metrics.json").read_text())
    kinds = {one["kind"] for one in metrics["behaviour"].values()}
    assert kinds == {"invariance", "directional", "minimum"}
    assert all(one["passed"] and 0 < one["asked"] <= 1 for one in metrics["behaviour"].values()), metrics["behaviour"]
    parts = metrics["slices"]
    assert len(parts) >= 2 and all(0 < part["rows"] < metrics["rows"]["test"] for part in parts.values())


@pytest.mark.slow
@each_project
def test_the_sample_champion_is_registered(reproduced: Checkout, project: str) -> None:
    decision = json.loads(reproduced.path("artifacts", project, "decision.json").read_text())
    assert decision["promoted"], decision["summary"]
