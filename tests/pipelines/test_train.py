"""Training beyond one network on one table: several networks in sequence, and an environment."""

import csv
import inspect
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

import models
import pipelines
from pipelines import prepare, train
from roadmap.bundle import Bundle
from roadmap.config.check import check
from roadmap.config.schema import Run
from roadmap.io.errors import UsageError
from tests.support.pipelines.lines import (
    CHAIN,
    ENCODER,
    ENVIRONMENT,
    HEAD,
    MONITORING,
    NETWORKS,
    PREDICT,
    SETTINGS,
    TRAIN,
)

Write = Callable[..., Run]


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes a project into an empty folder, which becomes the working directory, and returns its validated run."""

    def write(data: str, fields: str, model: dict[str, object], **changes: object) -> Run:
        files = {"settings": SETTINGS.format(fields=fields), "data": data, "predict": PREDICT, "monitoring": MONITORING}
        for name, text in files.items():
            (tmp_path / f"pipelines/lines/{name}.py").write_text(text)
        block = {
            "network": "models/lines.py",
            "inference": "roadmap/inference/tabular",
            "data": {"split": [0.6, 0.2, 0.2]},
            "model": model,
            "train": TRAIN,
            "variants": {},
            "gate": {"floor": 0, "maximum_regression": 0, "latency_ms": 1, "size_mb": 1},
            **changes,
        }
        trainer = {"accelerator": "cpu", "devices": 1, "precision": "32-true"}
        top = {"profile": "sample", "seed": 1, "trainer": trainer}
        return check({**top, "projects": {"lines": block}, "project": "lines"})

    (tmp_path / "pipelines" / "lines").mkdir(parents=True)
    (tmp_path / "models").mkdir()
    (tmp_path / "pipelines/lines/__init__.py").touch()
    (tmp_path / "models/lines.py").write_text(NETWORKS)
    for package in (pipelines, models):
        monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path / package.__name__)])
    for name in [name for name in sys.modules if name.startswith(("pipelines.lines", "models.lines"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(train, "code_sha256", lambda *_: "of the repository's files, among which these are not")
    monkeypatch.chdir(tmp_path)
    return write


def staged(run: Run) -> Bundle:
    for stage in (prepare, train):
        inspect.unwrap(stage.main)(run)
    return Bundle(run.artifacts / "bundle")


def test_a_later_network_trains_on_the_earlier_ones_output(written: Write) -> None:
    run = written(CHAIN, "encoder: Encoder", {**HEAD, "encoder": ENCODER}, variants={"other": {}})
    bundle = staged(run)
    assert set(bundle.manifest.files) == {"encoder.onnx", "model.onnx", "example.json", "index.bin", "reference.json"}
    x = np.load(run.data / "train.npz")["x"]
    codes = onnxruntime.InferenceSession(bundle.folder / "encoder.onnx").run(["y"], {"x": x})[0]
    answers = bundle.session().run(["y"], {"x": codes})[0]
    index = np.frombuffer((bundle.folder / "index.bin").read_bytes(), np.float32)
    np.testing.assert_allclose(index, answers, atol=1e-5)
    rows = list(csv.DictReader((run.artifacts / "history.csv").open()))
    assert [bool(row["encoder/val_loss"]) for row in rows] == [True, True, True]  # three epochs, from its own block
    assert [bool(row["val_loss"]) for row in rows] == [True, True, False]
    assert {"other/val_loss", "other/encoder/val_loss"} <= rows[0].keys()
    summary = json.loads((run.artifacts / "train.json").read_text())
    assert (summary["epochs"], summary["parameters"]) == (2, (3 * 2 + 2) + (2 * 3 + 3) + (2 + 1))
    assert not (run.artifacts / "checkpoints").exists()


def test_an_earlier_network_may_be_switched_off(written: Write) -> None:
    alone = CHAIN.replace('encoder = networks["encoder"]', "assert not networks").replace(
        'assert list(networks) == ["encoder"] and not encoder.training', ""
    )
    alone = alone.replace('encoded(encoder, part["x"])', 'part["x"][:, :2]')
    bundle = staged(written(alone, "encoder: Encoder", {**HEAD, "encoder": {**ENCODER, "enabled": False}}))
    assert set(bundle.manifest.files) == {"model.onnx", "example.json", "index.bin", "reference.json"}


def test_networks_and_settings_must_agree(written: Write) -> None:
    run = written(CHAIN, "pass", HEAD)
    with pytest.raises(UsageError, match=r"found networks encoder, model; expected model, as in params\.yaml"):
        staged(run)


def test_the_class_of_an_earlier_network_is_checked_too(written: Write) -> None:
    with pytest.raises(UsageError, match=r"projects\.lines\.model\.encoder\._target_: found 'models\.lines\.Decoder'"):
        written(CHAIN, "encoder: Encoder", {**HEAD, "encoder": {**ENCODER, "_target_": "models.lines.Decoder"}})


def test_an_environment_queries_the_network_in_training(written: Write) -> None:
    run = written(ENVIRONMENT, "pass", HEAD, train={**TRAIN, "epochs": 20})
    bundle = staged(run)
    moves = bundle.session().run(["y"], {"x": np.array([[0.8], [-0.6]], np.float32)})[0]
    np.testing.assert_allclose(moves, [-0.8, 0.6], atol=0.1)
    assert json.loads((run.data / "card.json").read_text())["rows"] == {"train": 30, "val": 30, "test": 30}
