"""CIFAR-10's project, its networks: augmentation, export, averaging, and a training that is killed."""

import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import pytorch_lightning as pl
import torch

from models import cifar10 as networks
from pipelines.cifar10 import data as project
from roadmap.config.settings import TrainSettings
from roadmap.data import scenes as shapes
from roadmap.data.training_set import TrainingSet
from roadmap.training.batches import InMemoryDataModule
from roadmap.training.callbacks import ResumeCheckpoint
from roadmap.training.export import export

SIZE = 32


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


# --- augmentation ----------------------------------------------------------------------------------------------------


def ramps(n: int) -> torch.Tensor:
    """Images whose red says the row, green the column, blue the image. uint8 [n, 32, 32, 3]"""
    grid = np.stack(np.meshgrid(np.arange(32), np.arange(32), indexing="ij"), axis=-1)
    planes = [np.concatenate([grid, np.full((32, 32, 1), i)], axis=-1) for i in range(n)]
    return torch.from_numpy(np.stack(planes).astype(np.uint8))


def test_augmentations_are_independent_per_image() -> None:
    torch.manual_seed(0)
    x, flip = ramps(200), torch.arange(200) % 2 == 0
    moved = networks.flip_and_shift(x, flip, 2)
    assert moved.shape == x.shape and moved.dtype == torch.uint8
    assert (moved[..., 2] == x[..., 2]).all(), "pixels moved between images"
    step = moved[:, 16, 17, 1].int() - moved[:, 16, 16, 1].int()
    assert (step == torch.where(flip, -1, 1)).all()
    down = moved[:, 16, 16, 0].int() - 16
    across = torch.where(flip, 31 - moved[:, 16, 16, 1].int(), moved[:, 16, 16, 1].int()) - 16
    moves = set(zip(down.tolist(), across.tolist(), strict=True))
    assert {a for a, _ in moves} == {b for _, b in moves} == {-2, -1, 0, 1, 2} and len(moves) == 25


def test_no_flip_and_no_shift_is_the_identity() -> None:
    x = ramps(3)
    assert torch.equal(networks.flip_and_shift(x, torch.zeros(3, dtype=torch.bool), 0), x)
    assert torch.equal(networks.flip_and_shift(x, torch.ones(3, dtype=torch.bool), 0), x.flip(2))


def test_shifts_pad_by_reflection() -> None:
    assert networks.reflect(torch.arange(-2, 7), 5).tolist() == [2, 1, 0, 1, 2, 3, 4, 3, 2]


def test_cutout_blanks_one_square_per_image() -> None:
    torch.manual_seed(0)
    x = torch.ones(100, 3, 32, 32)
    gone = networks.cutout(x, 8) == 0
    assert (gone.sum(dim=(2, 3)) <= 64).all() and (gone.sum(dim=(2, 3)) >= 16).all()
    assert (gone[:, 0] == gone[:, 1]).all() and len({tuple(map(tuple, g.nonzero().tolist())) for g in gone[:, 0]}) > 50
    assert x.min() == 1, "the caller's tensor was changed"
    assert torch.equal(networks.cutout(x, 0), x)


def test_images_are_mirrored_every_other_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[torch.Tensor] = []

    def noted(x: torch.Tensor, flip: torch.Tensor, most: int) -> torch.Tensor:
        seen.append(flip)
        return x

    monkeypatch.setattr(networks, "flip_and_shift", noted)
    model = network("CNN")
    x, side, y = ramps(4), torch.tensor([0, 1, 0, 1]), torch.zeros(4, dtype=torch.long)
    for epoch in range(3):
        monkeypatch.setattr(networks.CNN, "current_epoch", epoch)
        model.training_step((x, side, y), 0)
    assert torch.equal(seen[0], ~seen[1]) and torch.equal(seen[0], seen[2]) and seen[0].any() and not seen[0].all()


# --- networks --------------------------------------------------------------------------------------------------------


def network(name: str, width: int = 8, **changes: Any) -> networks.Classifier:
    torch.manual_seed(0)
    mean, std, patches = project.statistics(shapes.classified(20, SIZE, 0)["image"])
    chosen: dict[str, Any] = {
        "lr": 0.1, "weight_decay": 1e-3, "smoothing": 0.1, "shift": 2, "cutout": 4, "average": 0.9
    }  # fmt: skip
    return getattr(networks, name)(
        size=SIZE, classes=10, mean=mean, std=std, patches=patches, width=width, **{**chosen, **changes}
    )


def test_resnet20_has_the_parameters_of_the_paper() -> None:
    """He et al. (2015), table 6: 0.27 million."""
    assert sum(p.numel() for p in network("ResNet20", 16).parameters()) == 269_722


@pytest.mark.parametrize("name", ["CNN", "ResNet20", "ResNet9"])
def test_the_graph_matches_the_network_and_mirror_images(name: str, tmp_path: Path) -> None:
    model = network(name)
    with torch.no_grad():  # statistics and weights that are not those of the start
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                assert module.running_mean is not None and module.running_var is not None
                module.running_mean.normal_(), module.running_var.uniform_(0.5, 2)
    model.eval()
    x = shapes.classified(10, SIZE, 1)["image"]
    export(model, (x[:2], np.zeros(2, np.int64)), tmp_path)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    assert session.get_inputs()[0].type == "tensor(uint8)"
    y = session.run(["y"], {"x": x})[0]
    with torch.no_grad():
        np.testing.assert_allclose(y, model(torch.from_numpy(x)), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(y, session.run(["y"], {"x": x[:, :, ::-1].copy()})[0], rtol=1e-3, atol=1e-4)
    assert not [node for node in onnx.load(tmp_path / "model.onnx").graph.node if node.op_type == "Dropout"]
    for i in range(10):  # one by one as in a batch: no statistics of the batch are left
        np.testing.assert_allclose(session.run(["y"], {"x": x[i : i + 1]})[0][0], y[i], rtol=1e-3, atol=1e-4)


def test_the_first_layer_whitens_patches() -> None:
    pixels = shapes.classified(200, SIZE, 0)["image"]
    mean, std, patches = project.statistics(pixels)
    layer = networks.whitening(torch.tensor(patches), epsilon=0)
    x = (torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255 - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(
        std
    ).view(3, 1, 1)
    with torch.no_grad():
        out = layer(x).permute(1, 0, 2, 3).reshape(24, -1)
    second = out @ out.T / out.shape[1]
    torch.testing.assert_close(second[:12, :12], torch.eye(12), atol=0.02, rtol=0)
    torch.testing.assert_close(out[:12], -out[12:])
    assert not layer.weight.requires_grad


# --- training --------------------------------------------------------------------------------------------------------


class Killed(Exception):
    pass


class KillAfter(pl.Callback):
    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_train_epoch_start(self, trainer: pl.Trainer, _: pl.LightningModule) -> None:
        if trainer.current_epoch == self.epoch:
            raise Killed


def train(folder: Path, epochs: int, *more: pl.Callback) -> networks.Classifier:
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    found = shapes.classified(64, SIZE, 3)
    arrays = (found["image"], np.arange(64) % 2, found["label"])
    data = InMemoryDataModule(
        TrainingSet(arrays, arrays, {}, {}), TrainSettings(epochs=epochs, batch_size=16, threads=1), 1
    )
    model = network("ResNet9", 4)
    folder.mkdir(exist_ok=True)
    resumable = ResumeCheckpoint(folder, seed=1, seconds=0)
    trainer = pl.Trainer(
        max_epochs=epochs, accelerator="cpu", callbacks=[resumable, *more], logger=False, enable_checkpointing=False,
        enable_model_summary=False, enable_progress_bar=False, num_sanity_val_steps=0, use_distributed_sampler=False,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer.fit(model, data, ckpt_path=resumable.checkpoint(model), weights_only=True)
    return model


def test_a_killed_training_resumes_to_the_same_averaged_weights(tmp_path: Path) -> None:
    whole = train(tmp_path / "whole", 4).state_dict()
    with pytest.raises(Killed):
        train(tmp_path / "killed", 4, KillAfter(2))
    assert (tmp_path / "killed" / "last.ckpt").exists()
    resumed = train(tmp_path / "killed", 4).state_dict()
    for name, value in whole.items():
        assert torch.equal(value, resumed[name]), name


def test_the_averaged_weights_are_exported(tmp_path: Path) -> None:
    """The checkpoint of the last epoch has both: the average, and the averaged weights."""
    model = train(tmp_path / "run", 2)
    saved = torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)
    name = "layers.2.weight"
    assert torch.equal(model.state_dict()[name], saved["state_dict"][name])
    assert not torch.equal(model.state_dict()[name], saved["current_model_state"][name])
