"""Other precisions as candidates: made, measured and put before the gate without training; or written by `train`."""

import html
import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.checkouts import Checkout, checkout


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """In which titanic has a champion in fp32."""
    clone = Checkout(checkout(tmp_path_factory.mktemp("quantise") / "clone"))
    clone.run("dvc", "repro", "-q", "register@titanic")
    return clone


def read(clone: Checkout, *parts: str) -> Any:
    return json.loads(clone.path("artifacts", "titanic", *parts).read_text())


def test_a_candidate_is_compared_and_decided_on(clone: Checkout) -> None:
    before = clone.path("artifacts", "titanic", "bundle", "bundle.json").read_bytes()
    done = clone.stage("quantise", "project=titanic", "precision=int8_static")
    assert "times the champion's CPU time for one request" in done.stdout
    fp32, int8 = read(clone, "candidates", "results.json")
    assert (fp32["precision"], int8["precision"]) == ("fp32", "int8_static")
    assert int8["low"] <= int8["gain"] <= int8["high"] and 0 < int8["p50"] <= int8["p99"] and int8["load_p99"] > 0
    page = clone.path("artifacts", "titanic", "candidates", "index.html").read_text()
    assert (
        "Layers in int8_static" in page and "All 3 layers, worst first" in page and html.escape(int8["verdict"]) in page
    )
    metrics = read(clone, "candidates", "int8_static", "metrics.json")
    assert metrics["precision"] == "int8_static" and metrics["headline"]["name"] == "accuracy"

    clone.stage("register", "project=titanic", "candidate=int8_static")
    decision = read(clone, "candidates", "int8_static", "decision.json")
    assert {"champion", "slices", "precision"} <= set(decision["checks"])
    assert decision["checks"]["champion"]["passed"], decision["summary"]
    assert clone.path("artifacts", "titanic", "bundle", "bundle.json").read_bytes() == before
    events = clone.path("artifacts", "titanic", "promotions.jsonl").read_text().splitlines()
    assert json.loads(events[-1])["bundle"] == decision["bundle"]


def test_train_writes_the_precision_of_the_settings_with_the_same_weights(clone: Checkout, tmp_path: Path) -> None:
    fp32 = read(clone, "bundle", "bundle.json")
    clone.stage("train", "project=titanic", "projects.titanic.export.precision=int8_weights", TRACKING="none")
    found = read(clone, "bundle", "bundle.json")
    assert found["precision"] == "int8_weights" and found["files"]["model.onnx"] != fp32["files"]["model.onnx"]
    again = clone.stage("quantise", "project=titanic", check=False)
    assert again.returncode == 2 and "precision: found int8_weights; expected fp32" in again.stderr
    clone.stage("train", "project=titanic", TRACKING="none")
    assert read(clone, "bundle", "bundle.json")["files"]["model.onnx"] == fp32["files"]["model.onnx"]


@pytest.mark.parametrize("setting", ["precision=int7", "projects.titanic.export.precision=int7"])
def test_an_unknown_precision_is_one_line(clone: Checkout, setting: str) -> None:
    done = clone.stage("quantise", "project=titanic", setting, check=False)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "found 'int7'; should be 'fp32', 'fp16', 'bf16', 'int8_dynamic'" in done.stderr
