"""CIFAR-10's project: drawn scenes, the publisher's files, augmentation, networks, averaging, requests, damage."""

import base64
import io
import json
import logging
import lzma
import os
import struct
import tarfile
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bundles
import numpy as np
import onnx
import onnxruntime
import pytest
import pytorch_lightning as pl
import torch
from conftest import Checkout
from fastapi.testclient import TestClient
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from models import cifar10 as networks
from pipelines.cifar10 import data as project
from pipelines.cifar10.settings import Data
from pipelines.common import images, robustness
from pipelines.common.batches import TensorData
from pipelines.common.callbacks import Resumable
from pipelines.common.config import TrainSettings, UsageError
from pipelines.common.export import export
from pipelines.common.patches import Patches
from pipelines.common.samples import shapes
from pipelines.common.training import TrainingSet
from serving.app import create_app
from serving.bundle import Bundle, load_predictor
from serving.settings import Settings

SIZE = 32


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


# --- the generator ---------------------------------------------------------------------------------------------------


def test_the_same_seed_draws_the_same_pictures() -> None:
    one, two, other = (shapes.classified(40, SIZE, seed) for seed in (1, 1, 2))
    for name, values in one.items():
        np.testing.assert_array_equal(values, two[name])
    assert (one["image"] != other["image"]).any()
    assert np.bincount(one["label"]).tolist() == [4] * 10


@pytest.mark.parametrize("size", [24, 32, 64])
def test_boxes_enclose_exactly_what_was_drawn(size: int) -> None:
    for seed in range(30):
        found = shapes.scene(np.random.default_rng(seed), size, clean=True)
        (thing,) = found.things
        (mask,) = found.masks
        left, top, right, bottom = thing.box
        assert 0 <= left < right <= size and 0 <= top < bottom <= size
        assert mask[top:bottom, left:right].sum() == mask.sum() > 0, "something lies outside the box"
        for edge in (mask[top], mask[bottom - 1], mask[:, left], mask[:, right - 1]):
            assert edge.any(), "the box is larger than what was drawn"
        light = np.ptp(found.pixels[~mask], axis=0)
        assert light.max() <= 36, "something was drawn outside the mask"


def span(shape: str) -> float:
    """Of a shape in its unit circle."""
    u, v = np.meshgrid(np.linspace(-1, 1, 401), np.linspace(-1, 1, 401))
    drawn = shapes.SHAPES[shape](u, v)
    return max(np.ptp(u[drawn]), np.ptp(v[drawn]))


def nearest_colour(pixels: np.ndarray) -> str:
    away = {name: np.abs(np.median(pixels, axis=0) - colour).sum() for name, colour in shapes.COLOURS.items()}
    return min(away, key=lambda name: away[name])


def test_captions_are_true() -> None:
    """Words against pixels: the colours, the place of the box, its extent."""
    plain_ones = 0
    for seed in range(80):
        found = shapes.scene(np.random.default_rng(seed), 48, clean=True)
        (thing,) = found.things
        left, top, right, bottom = thing.box
        x, y = (left + right) / 2 / 48, (top + bottom) / 2 / 48
        row, column = shapes.ROWS[int(3 * y)], shapes.COLUMNS[int(3 * x)]
        place = "centre" if (row, column) == ("middle", "centre") else f"{row} {column}"
        radius = max(right - left, bottom - top) / span(thing.shape) / 48
        size = "large" if radius > 0.3 else "small"
        ground, texture = nearest_colour(found.pixels[~found.masks[0]]), thing.texture
        if texture == "plain":  # of two tones no median is known
            plain_ones += 1
            assert nearest_colour(found.pixels[found.masks[0]]) == thing.colour
        words = f"a {size} {'' if texture == 'plain' else texture + ' '}{thing.colour} {thing.shape}"
        assert found.caption == f"{words} at the {place} on {ground} ground"
    assert plain_ones > 10


def test_several_things_have_a_box_and_a_phrase_each() -> None:
    found = shapes.scene(np.random.default_rng(0), 64, ("ring", "star"), clean=True)
    assert found.masks.shape == (2, 64, 64) and [thing.shape for thing in found.things] == ["ring", "star"]
    assert found.caption.count(" at the ") == 2 and " and a" in found.caption


# --- the publisher's files -------------------------------------------------------------------------------------------


def batch(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (rows, 3072), dtype=np.uint8), rng.integers(0, 10, rows, dtype=np.uint8)


def python_batch(pixels: np.ndarray, labels: np.ndarray, labels_first: bool) -> bytes:
    """What Python 2's cPickle wrote at protocol 2, opcode by opcode, with numpy's way to rebuild an array."""

    def text(value: bytes) -> bytes:  # SHORT_BINSTRING, BINPUT
        return b"U" + bytes([len(value)]) + value + b"q\x01"

    raw = pixels.tobytes()
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\nq\x02cnumpy\nndarray\nq\x03K\x00\x85U\x01b\x87Rq\x04("
        + b"K\x01"
        + b"M" + len(pixels).to_bytes(2, "little") + b"M\x00\x0c\x86"
        + b"cnumpy\ndtype\nq\x05U\x02u1K\x00K\x01\x87Rq\x06(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        + b"\x89T" + len(raw).to_bytes(4, "little") + raw + b"tb"
    )  # fmt: skip
    half = len(labels) // 2
    numbers = b"]q\x07" + b"".join(
        b"(" + b"".join(b"K" + bytes([label]) for label in part) + b"e" for part in (labels[:half], labels[half:])
    )
    names = b"]q\x08(" + b"".join(text(f"leptodactylus_pentadactylus_s_{i:06}.png".encode()) for i in range(3)) + b"e"
    entries = [text(b"data") + array, text(b"labels") + numbers]
    rest = [text(b"filenames") + names, text(b"batch_label") + text(b"training batch 1 of 5")]
    return b"\x80\x02}q\x09(" + b"".join([*rest, *(entries[::-1] if labels_first else entries)]) + b"u."


def archive(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(f"cifar-10/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


@pytest.mark.parametrize("labels_first", [True, False])
def test_the_python_version_is_read_as_opcodes(
    tmp_path: Path, labels_first: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pickle

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a pickle was loaded")

    for name in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(pickle, name, refuse)
    train, test = batch(24, 0), batch(10, 1)
    files = {"data_batch_1": python_batch(*train, labels_first), "test_batch": python_batch(*test, labels_first)}
    found = project.read(archive(tmp_path / "python.tar.gz", files | {"batches.meta": b"", "readme.html": b"x"}))
    for (pixels, labels), got in zip((train, test), found, strict=True):
        np.testing.assert_array_equal(got["label"], labels)
        np.testing.assert_array_equal(got["image"][:, :, :, 0].reshape(len(labels), -1), pixels[:, :1024])  # red first
        assert got["image"].shape == (len(labels), 32, 32, 3) and got["label"].dtype == np.int64


def test_a_hostile_pickle_does_nothing(tmp_path: Path) -> None:
    hostile = b"cos\nsystem\n(S'touch " + str(tmp_path / "owned").encode() + b"'\ntR."
    with pytest.raises(UsageError, match="don't belong together"):
        project.read(archive(tmp_path / "x.tar.gz", {"data_batch_1": hostile, "test_batch": hostile}))
    assert not (tmp_path / "owned").exists()


def binary(pixels: np.ndarray, labels: np.ndarray) -> bytes:
    return np.column_stack([labels, pixels]).tobytes()


@pytest.mark.parametrize("kind", ["folder", "packed folder", "archive"])
def test_the_binary_version_is_read(tmp_path: Path, kind: str) -> None:
    first, second, test = batch(6, 0), batch(4, 1), batch(3, 2)
    files = {
        f"{n}.bin": binary(*b) for n, b in (("data_batch_1", first), ("data_batch_2", second), ("test_batch", test))
    }
    if kind == "archive":
        path = archive(tmp_path / "binary.tar.gz", files)
    else:
        path, packed = tmp_path, kind == "packed folder"
        for name, content in files.items():
            (path / (name + ".xz" * packed)).write_bytes(lzma.compress(content) if packed else content)
    found, held_out = project.read(path)
    np.testing.assert_array_equal(found["label"], np.r_[first[1], second[1]])
    np.testing.assert_array_equal(found["image"][6, :, :, 2].ravel(), second[0][0, 2048:])
    assert len(held_out["label"]) == 3


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"data_batch_1.bin": b"\x01" * 3072, "test_batch.bin": b""}, "whole records of 3,073; is it cut short"),
        ({"data_batch_1.bin": b"\x0b" * 3073, "test_batch.bin": b"\x01" * 3073}, "found label 11; allowed: 0 to 9"),
        ({"data_batch_1.bin.xz": b"no", "test_batch.bin": b"\x01" * 3073}, "can't be unpacked"),
        ({"data_batch_1.bin": b"\x01" * 3073}, "found data_batch_1; needs data_batch_1 and so on, and test_batch"),
        ({}, "found no batches"),
    ],
)
def test_what_is_wrong_with_a_folder_is_one_line(tmp_path: Path, files: dict[str, bytes], words: str) -> None:
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError, match=words) as error:
        project.read(tmp_path)
    assert str(tmp_path) in str(error.value) and "\n" not in str(error.value)


def test_no_such_path_and_no_archive(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"not there; data\.path names"):
        project.read(tmp_path / "nowhere")
    (tmp_path / "file").write_bytes(b"nothing")
    with pytest.raises(UsageError, match="can't be read as a tar archive"):
        project.read(tmp_path / "file")


def test_a_path_of_ones_own_is_split_by_the_seed(tmp_path: Path) -> None:
    for name, content in (("data_batch_1.bin", binary(*batch(50, 0))), ("test_batch.bin", binary(*batch(10, 1)))):
        (tmp_path / name).write_bytes(content)
    settings = Data(path=str(tmp_path), rows=100, split=(0.7, 0.1, 0.2))
    prepared = project.prepare(settings, "sample", seed=1)
    assert {name: len(part["label"]) for name, part in prepared.splits.items()} == {"train": 45, "val": 5, "test": 10}
    together = np.concatenate([prepared.splits[name]["image"] for name in ("train", "val")])
    assert len(np.unique(together.reshape(50, -1), axis=0)) == 50
    assert prepared.source == "CIFAR-10" and prepared.schema["classes"][0] == "airplane"


# --- augmentation ----------------------------------------------------------------------------------------------------


def ramps(n: int) -> torch.Tensor:
    """Images whose red says the row, green the column, blue the image. uint8 [n, 32, 32, 3]"""
    grid = np.stack(np.meshgrid(np.arange(32), np.arange(32), indexing="ij"), axis=-1)
    planes = [np.concatenate([grid, np.full((32, 32, 1), i)], axis=-1) for i in range(n)]
    return torch.from_numpy(np.stack(planes).astype(np.uint8))


def test_each_image_is_moved_and_mirrored_on_its_own() -> None:
    torch.manual_seed(0)
    x, flip = ramps(200), torch.arange(200) % 2 == 0
    moved = networks.flip_and_shift(x, flip, 2)
    assert moved.shape == x.shape and moved.dtype == torch.uint8
    assert (moved[..., 2] == x[..., 2]).all(), "pixels went from one image to another"
    step = moved[:, 16, 17, 1].int() - moved[:, 16, 16, 1].int()
    assert (step == torch.where(flip, -1, 1)).all()
    down = moved[:, 16, 16, 0].int() - 16
    across = torch.where(flip, 31 - moved[:, 16, 16, 1].int(), moved[:, 16, 16, 1].int()) - 16
    moves = set(zip(down.tolist(), across.tolist(), strict=True))
    assert {a for a, _ in moves} == {b for _, b in moves} == {-2, -1, 0, 1, 2} and len(moves) == 25


def test_no_flip_and_no_shift_is_no_change() -> None:
    x = ramps(3)
    assert torch.equal(networks.flip_and_shift(x, torch.zeros(3, dtype=torch.bool), 0), x)
    assert torch.equal(networks.flip_and_shift(x, torch.ones(3, dtype=torch.bool), 0), x.flip(2))


def test_what_moves_in_is_a_reflection() -> None:
    assert networks.reflect(torch.arange(-2, 7), 5).tolist() == [2, 1, 0, 1, 2, 3, 4, 3, 2]


def test_cutout_blanks_one_square_of_each_image() -> None:
    torch.manual_seed(0)
    x = torch.ones(100, 3, 32, 32)
    gone = networks.cutout(x, 8) == 0
    assert (gone.sum(dim=(2, 3)) <= 64).all() and (gone.sum(dim=(2, 3)) >= 16).all()
    assert (gone[:, 0] == gone[:, 1]).all() and len({tuple(map(tuple, g.nonzero().tolist())) for g in gone[:, 0]}) > 50
    assert x.min() == 1, "the caller's tensor was changed"
    assert torch.equal(networks.cutout(x, 0), x)


def test_an_image_is_mirrored_in_every_other_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[torch.Tensor] = []
    monkeypatch.setattr(networks, "flip_and_shift", lambda x, flip, most: seen.append(flip) or x)
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
def test_the_graph_answers_as_the_network_and_the_same_for_a_mirror_image(name: str, tmp_path: Path) -> None:
    model = network(name)
    with torch.no_grad():  # statistics and weights that are not those of the start
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
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
    data = TensorData(TrainingSet(arrays, arrays, {}, {}), TrainSettings(epochs=epochs, batch_size=16, threads=1), 1)
    model = network("ResNet9", 4)
    folder.mkdir(exist_ok=True)
    resumable = Resumable(folder, seed=1, seconds=0)
    trainer = pl.Trainer(
        max_epochs=epochs, accelerator="cpu", callbacks=[resumable, *more], logger=False, enable_checkpointing=False,
        enable_model_summary=False, enable_progress_bar=False, num_sanity_val_steps=0, use_distributed_sampler=False,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer.fit(model, data, ckpt_path=resumable.checkpoint, weights_only=True)
    return model


def test_a_killed_training_ends_with_the_same_averaged_weights(tmp_path: Path) -> None:
    whole = train(tmp_path / "whole", 4).state_dict()
    with pytest.raises(Killed):
        train(tmp_path / "killed", 4, KillAfter(2))
    assert (tmp_path / "killed" / "last.ckpt").exists()
    resumed = train(tmp_path / "killed", 4).state_dict()
    for name, value in whole.items():
        assert torch.equal(value, resumed[name]), name


def test_what_is_shipped_is_the_average(tmp_path: Path) -> None:
    """The checkpoint of the last epoch holds both: the average, and the weights it is the average of."""
    model = train(tmp_path / "run", 2)
    saved = torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)
    name = "layers.2.weight"
    assert torch.equal(model.state_dict()[name], saved["state_dict"][name])
    assert not torch.equal(model.state_dict()[name], saved["current_model_state"][name])


# --- requests --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hand-made bundle: the score of a class is the mean of one colour of the image."""
    folder = tmp_path_factory.mktemp("artifacts")
    weights = np.zeros((3, 10), np.float32)
    weights[[0, 1, 2], [0, 1, 2]] = 1 / 16
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["x"], ["float"], to=TensorProto.FLOAT),
            helper.make_node("ReduceMean", ["float"], ["mean"], axes=[1, 2], keepdims=0),
            helper.make_node("MatMul", ["mean", "weights"], ["y"]),
        ],
        "hand_made",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, ["n", SIZE, SIZE, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 10])],
        [numpy_helper.from_array(weights, "weights")],
    )
    schema = {"task": "images", "size": SIZE, "target": "label", "classes": project.CLASSES}
    example = [{"image": images.encode(plain(colour))} for colour in ((200, 0, 0), (0, 200, 0))]
    assets = {"schema.json": schema, "example.json": example}
    bundles.write(folder / "cifar10" / "bundle", "cifar10", graph, assets, source="colours")
    return folder


@pytest.fixture(scope="module")
def client(artifacts: Path) -> Iterator[TestClient]:
    with TestClient(create_app(Settings(bundles=str(artifacts))), raise_server_exceptions=False) as client:
        yield client


def plain(colour: tuple[int, int, int], size: int = SIZE) -> np.ndarray:
    return np.full((size, size, 3), colour, np.uint8)


def file(image: Image.Image, kind: str = "png", **options: Any) -> str:
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **options)
    return base64.b64encode(buffer.getvalue()).decode()


def ask(client: TestClient, image: Any) -> Any:
    return client.post("/models/cifar10/predict", json={"inputs": [{"image": image}]})


RED = plain((200, 10, 10))
ROWS = RED.tolist()


@pytest.mark.parametrize(
    "image",
    [
        ROWS,
        images.encode(RED),
        "data:image/png;base64," + images.encode(RED),
        file(Image.fromarray(RED), "jpeg", quality=95),
    ],
    ids=["rows", "png", "data url", "jpeg"],
)
def test_an_image_in_each_form_is_answered(client: TestClient, image: Any) -> None:
    answer = ask(client, image)
    assert answer.status_code == 200, answer.text
    (output,) = answer.json()["outputs"]
    assert output["label"] == "airplane" and list(output["probabilities"]) == project.CLASSES
    assert sum(output["probabilities"].values()) == pytest.approx(1)


def changed(value: Any) -> list[Any]:
    rows = [[list(pixel) for pixel in row] for row in ROWS]
    rows[3][4] = value
    return rows


PNG = base64.b64decode(images.encode(np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)))


def bomb(edge: int) -> bytes:
    """A small file that says it is huge: PNG's header with other numbers, and their checksum."""
    header = b"IHDR" + struct.pack(">II", edge, edge) + PNG[24:29]
    return PNG[:12] + header + struct.pack(">I", zlib.crc32(header)) + PNG[33:]


@pytest.mark.parametrize(
    ("image", "words"),
    [
        ("", "is empty"),
        ([], "should have 32 rows, found 0"),
        (None, "should be 32 rows of 32"),
        (7, "should be 32 rows of 32"),
        ({"a": 1}, "should be 32 rows of 32"),
        (ROWS[:31], "should have 32 rows, found 31"),
        ([*ROWS[:31], ROWS[0][:5]], "row 31 should be a list of 32 pixels, found 5"),
        ([*ROWS[:31], "x" * 32], "row 31 should be a list of 32 pixels, found str"),
        (changed([1, 2]), "row 3, pixel 4 should be"),
        (changed(5), "row 3, pixel 4 should be"),
        (changed([1, 2, 256]), "row 3, pixel 4 should hold whole values from 0 to 255"),
        (changed([1, 2, -1]), "row 3, pixel 4 should hold whole values"),
        (changed([1, 2, 10**30]), "row 3, pixel 4 should hold whole values"),
        (changed([1, 2, 3.0]), "row 3, pixel 4 should hold whole values"),
        (changed([1, 2, True]), "row 3, pixel 4 should hold whole values"),
        (changed([1, 2, "3"]), "row 3, pixel 4 should hold whole values"),
        (changed([1, 2, None]), "row 3, pixel 4 should hold whole values"),
        ("not base64!", "is not base64"),
        ("图", "is not base64"),
        (base64.b64encode(b"plain text").decode(), "is not a PNG or JPEG file"),
        (file(Image.fromarray(RED), "gif"), "is not a PNG or JPEG file"),
        (file(Image.fromarray(plain((1, 2, 3), 33))), "should be 32 x 32 pixels, found 33 x 33"),
        (file(Image.fromarray(RED).convert("L")), "found mode L"),
        (file(Image.fromarray(RED).convert("RGBA")), "found mode RGBA"),
        (file(Image.fromarray(RED).convert("P")), "found mode P"),
        (file(Image.fromarray(RED).convert("CMYK"), "jpeg"), "found mode CMYK"),
        (base64.b64encode(PNG[: len(PNG) // 2]).decode(), "is a damaged PNG file"),
        (base64.b64encode(PNG[:20]).decode(), "is not a PNG or JPEG file"),
        (base64.b64encode(bomb(9_000)).decode(), "should be 32 x 32 pixels, found 9000 x 9000"),
        (base64.b64encode(bomb(60_000)).decode(), "should be 32 x 32 pixels; the file claims to have millions"),
        ("A" * (images.MAX_TEXT + 1), "should have at most 1,048,576 characters"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_an_image_is_said(client: TestClient, image: Any, words: str) -> None:
    answer = ask(client, image)
    assert answer.status_code == 422, answer.text
    (error,) = answer.json()["errors"]
    assert words in error["detail"] and error["pointer"] == "#/inputs/0/image"
    assert answer.json()["detail"] == f"inputs/0/image: {error['detail']}" and "rror" not in error["detail"]


def test_a_nan_is_not_json_or_not_a_pixel(client: TestClient) -> None:
    body = json.dumps({"inputs": [{"image": changed([1, 2, float("nan")])}]})
    answer = client.post("/models/cifar10/predict", content=body, headers={"content-type": "application/json"})
    assert answer.status_code in (400, 422) and answer.json()["detail"]


def test_damaged_files_never_break_the_server(client: TestClient) -> None:
    rng = np.random.default_rng(0)
    for kind in ("png", "jpeg"):
        whole = base64.b64decode(file(Image.fromarray(RED), kind))
        for _ in range(150):
            content = bytearray(whole)
            for at in rng.integers(0, len(content), 4):
                content[at] = rng.integers(0, 256)
            answer = ask(client, base64.b64encode(content[: rng.integers(1, len(content) + 1)]).decode())
            assert answer.status_code in (200, 422), answer.text


def test_encoding_loses_nothing() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
    np.testing.assert_array_equal(images.decode(images.encode(noise), SIZE), noise)
    np.testing.assert_array_equal(images.decode(noise.tolist(), SIZE), noise)


# --- damage and explanations -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(robustness.CORRUPTIONS))
def test_each_severity_damages_more_than_the_one_before(name: str) -> None:
    pixels = shapes.classified(50, SIZE, 0)["image"]
    damage, strengths = robustness.CORRUPTIONS[name]
    away = [np.abs(damage(pixels, s).astype(int) - pixels).mean() for s in strengths]
    assert all(a < b for a, b in zip([0.0, *away], away, strict=False)), away
    assert damage(pixels, strengths[0]).dtype == np.uint8
    np.testing.assert_array_equal(damage(pixels, 1e-9), pixels)


def test_occlusion_finds_the_one_place_that_matters() -> None:
    def predict(pixels: np.ndarray) -> np.ndarray:  # sure only where the pixel at (20, 9) is red
        sure = (pixels[:, 20, 9, 0] == 200).astype(float)
        return np.stack([sure, 1 - sure], axis=1)

    heat = robustness.occlusion(predict, RED, label=0)
    assert heat.shape == (SIZE, SIZE)
    row, column = np.unravel_index(heat.argmax(), heat.shape)
    assert abs(row - 20) <= 4 and abs(column - 9) <= 4
    assert heat[:8].max() == 0 and heat[:, 24:].max() == 0


def test_damaged_images_go_through_the_served_predictor(artifacts: Path) -> None:
    predictor = load_predictor(Bundle(artifacts / "cifar10" / "bundle"))
    pixels = np.stack([plain((200, 0, 0)), plain((0, 200, 0)), plain((0, 0, 200))] * 4)
    found = robustness.accuracies(robustness.through(predictor), pixels, np.array([0, 1, 2] * 4))
    assert set(found) == set(robustness.CORRUPTIONS)
    assert all(len(values) == 5 and values[0] == 1 for values in found.values())
    assert found["blur"] == [1.0] * 5, "a plain image has nothing to blur"


def test_patches_see_which_way_stripes_run() -> None:
    """Stripes down or across, of any colour and phase under noise: no single pixel tells which."""
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(0)
    across = np.arange(150) % 2
    wave = np.sin(np.arange(SIZE) * 1.5 + rng.uniform(0, 6, (150, 1)))  # [n, size]
    stripes = np.where(across[:, None, None], wave[:, None, :], wave[:, :, None])
    drawn = 128 + 50 * stripes[..., None] * rng.uniform(-1, 1, (150, 1, 1, 3)) + rng.normal(0, 8, (150, SIZE, SIZE, 3))
    found = np.clip(drawn, 0, 255).astype(np.uint8)
    x = Patches.fit(found[:100], seed=0).features(found)
    assert LogisticRegression(C=0.01).fit(x[:100], across[:100]).score(x[100:], across[100:]) > 0.9


# --- the official data -----------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.mirror
@pytest.mark.skipif(
    not (Path(os.environ.get("DATA_MIRROR") or "none") / "cifar10").is_dir(), reason="DATA_MIRROR holds no CIFAR-10"
)
def test_photographs_are_learned_within_a_minute(clone: Checkout) -> None:
    """Two epochs of a narrow network; the whole recipe takes minutes and is reported in the project's README."""
    settings = (
        "project=cifar10", "profile=full", f"projects.cifar10.data.path={os.environ['DATA_MIRROR']}/cifar10",
        "projects.cifar10.train.epochs=2", "projects.cifar10.model.width=24", "tracking=none",
    )  # fmt: skip
    for stage in ("prepare", "train"):
        clone.stage(stage, *settings, timeout=600)
    card = json.loads(clone.path("data", "cifar10", "card.json").read_text())
    assert card["rows"] == {"train": 45_000, "val": 5_000, "test": 10_000}
    rows = clone.path("artifacts", "cifar10", "history.csv").read_text().splitlines()
    last = dict(zip(rows[0].split(","), rows[-1].split(","), strict=True))
    assert float(last["val_accuracy"]) >= 0.7
