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

SETTINGS = """
from roadmap.config.settings import DataSettings, EarlierNetwork, ModelSettings


class Data(DataSettings):
    pass


class Encoder(EarlierNetwork):
    width: int


class Model(ModelSettings):
    {fields}
"""
PREDICT = """
from pydantic import BaseModel

from roadmap import bundle


class Request(BaseModel):
    x: list[float]


class Response(BaseModel):
    y: float


class Predictor(bundle.Predictor):
    Request, Response = Request, Response

    def __init__(self, bundle):
        self.bundle = bundle

    def predict(self, inputs):
        return [Response(y=one.x[0]) for one in inputs]
"""
MONITORING = """
from roadmap import project


class Monitoring(project.Monitoring):
    def inputs(self, requests):
        return {"x": [one.x[0] for one in requests]}

    def answers(self, found):
        return {"y": [one.y for one in found]}
"""
NETWORKS = """
import pytorch_lightning as pl
import torch
from torch import nn


class Net(pl.LightningModule):
    def fit_to(self, x, y):
        loss = ((self(x) - y) ** 2).mean()
        return loss

    def validation_step(self, batch, _):
        self.log("val_loss", self.training_step(batch, _))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Encoder(Net):
    def __init__(self, size, width):
        super().__init__()
        self.encode, self.decode = nn.Linear(size, width), nn.Linear(width, size)

    def forward(self, x):
        return self.encode(x)

    def training_step(self, batch, _):
        return ((self.decode(self(batch[0])) - batch[0]) ** 2).mean()


class Head(Net):
    def __init__(self, width):
        super().__init__()
        self.layer = nn.Linear(width, 1)

    def forward(self, x):
        return self.layer(x)[:, 0]

    def training_step(self, batch, _):
        return self.fit_to(*batch)
"""

# An encoder, a head on its output, and an index of the training rows made by the trained networks.
CHAIN = """
import numpy as np
import torch

from roadmap import project
from roadmap.data import splits
from roadmap.data.splits import PreparedData
from roadmap.data.training_set import TrainingSet


def encoded(network, x):
    with torch.no_grad():
        return network(torch.from_numpy(x)).numpy()


class Data(project.Data):
    def prepare(self, data, profile, seed):
        rng = np.random.default_rng(seed)
        parts = {name: rng.normal(size=(40, 3)).astype(np.float32) for name in ("train", "val", "test")}
        return PreparedData({name: {"x": x, "y": x[:, 0]} for name, x in parts.items()}, "generated", "ours", {})

    def test_rows(self, folder, split="test"):
        rows = splits.read(folder, split)
        return [{"x": x.tolist()} for x in rows["x"]], rows["y"]

    def training(self, folder):
        train, val = (splits.read(folder, name) for name in ("train", "val"))

        def encoder(networks):
            assert not networks
            return TrainingSet((train["x"], train["y"]), (val["x"], val["y"]), {"size": 3})

        def model(networks):
            encoder = networks["encoder"]
            assert list(networks) == ["encoder"] and not encoder.training
            parts = [(encoded(encoder, part["x"]), part["y"]) for part in (train, val)]
            assets = {"example.json": [{"x": row.tolist()} for row in val["x"][:2]]}
            return TrainingSet(
                parts[0], parts[1], {"width": 2},
                lambda head: {**assets, "index.bin": encoded(head, parts[0][0]).tobytes()},
            )

        return {"encoder": encoder, "model": model}
"""
# A point on a line that should be moved to 0. The prepared data are initial states of episodes; the network learns
# from the states that it reaches.
ENVIRONMENT = """
import numpy as np
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, IterableDataset

from roadmap import project
from roadmap.data import splits
from roadmap.data.splits import PreparedData
from roadmap.data.training_set import TrainingStream


class Episodes(IterableDataset):
    def __init__(self, module, starts):
        self.module, self.starts = module, torch.from_numpy(starts)

    def __iter__(self):
        for state in self.starts:
            for _ in range(4):
                yield state, -state[0]
                with torch.no_grad():
                    state = state + self.module.trainer.lightning_module(state[None])


class World(pl.LightningDataModule):
    def __init__(self, folder, settings):
        super().__init__()
        self.starts = {name: splits.read(folder, name)["start"] for name in ("train", "val")}
        self.size = settings.batch_size

    def train_dataloader(self):
        return DataLoader(Episodes(self, self.starts["train"]), batch_size=self.size)

    def val_dataloader(self):
        return DataLoader(Episodes(self, self.starts["val"]), batch_size=self.size)


class Data(project.Data):
    def prepare(self, data, profile, seed):
        rng = np.random.default_rng(seed)
        parts = {name: {"start": rng.uniform(-1, 1, (30, 1)).astype(np.float32)} for name in ("train", "val", "test")}
        return PreparedData(parts, "an environment", "ours", {})

    def test_rows(self, folder, split="test"):
        starts = splits.read(folder, split)["start"]
        return [{"x": start.tolist()} for start in starts], np.zeros(len(starts))

    def training(self, folder):
        example = splits.read(folder, "val")["start"][:2]
        assets = {"example.json": [{"x": start.tolist()} for start in example]}
        return TrainingStream(lambda settings, seed: World(folder, settings), (example,), {"width": 1}, assets)
"""
TRAIN = {"epochs": 2, "batch_size": 10, "threads": 1}
HEAD = {"_target_": "models.lines.Head"}
ENCODER = {"_target_": "models.lines.Encoder", "width": 2, "train": {**TRAIN, "epochs": 3}}

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
        top = {"profile": "sample", "seed": 1, "trainer": trainer, "tracking": {"enabled": False}}
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
