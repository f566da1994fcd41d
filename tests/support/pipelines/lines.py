"""The files of a project called lines: networks in sequence, or one that learns in an environment."""

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
