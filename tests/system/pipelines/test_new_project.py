"""A new project takes one folder and one block: adds one, or copies one, runs its stages and calls its endpoint."""

import json
import shutil
from pathlib import Path

import yaml

from tests.support.checkouts import ROOT, Checkout, checkout

PROJECT = ROOT / "tests" / "support" / "pipelines" / "throw_away"
ASK = """
import json
from fastapi.testclient import TestClient
from serving.http.app import create_app
from serving.settings import Settings
example = json.load(open("artifacts/throw_away/bundle/example.json"))
with TestClient(create_app(Settings())) as client:
    answer = client.post("/models/throw_away/predict", json={"inputs": example})
    print(answer.status_code, len(answer.json()["outputs"]))
"""


def test_a_new_project_needs_one_folder_and_one_block(tmp_path: Path) -> None:
    clone = Checkout(checkout(tmp_path / "clone"))
    shutil.copytree(PROJECT, clone.path("pipelines", "throw_away"), ignore=shutil.ignore_patterns("*.yaml", "*.pyc"))
    params = yaml.safe_load(clone.path("params.yaml").read_text())
    params["projects"]["throw_away"] = yaml.safe_load((PROJECT / "params.yaml").read_text())
    clone.path("params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))

    clone.run("dvc", "repro", "-q", "register@throw_away", "report@throw_away")
    assert clone.path("artifacts", "throw_away", "report", "index.html").stat().st_size > 10_000
    decision = json.loads(clone.path("artifacts", "throw_away", "decision.json").read_text())
    assert decision["promoted"], decision["summary"]
    assert clone.run("python", "-c", ASK).stdout.split() == ["200", "2"]


def test_a_copied_project_runs_and_is_served(tmp_path: Path) -> None:
    clone = Checkout(checkout(tmp_path / "clone"))
    clone.run("python", "-m", "pipelines.new_project", "name=churn", "like=titanic")
    clone.run("dvc", "repro", "-q", "register@churn", "report@churn")
    decision = json.loads(clone.path("artifacts", "churn", "decision.json").read_text())
    assert decision["promoted"], decision["summary"]
    assert clone.run("python", "-c", ASK.replace("throw_away", "churn")).stdout.split() == ["200", "2"]
