"""The data of cifar10: drawn scenes and the publisher's files."""

import io
import lzma
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.cifar10 import data as project
from pipelines.cifar10.settings import Data
from roadmap.data import scenes as shapes
from roadmap.io.errors import UsageError

SIZE = 32


# --- the generator ---------------------------------------------------------------------------------------------------


def test_the_same_seed_draws_the_same_images() -> None:
    one, two, other = (shapes.classified(40, SIZE, seed) for seed in (1, 1, 2))
    for name, values in one.items():
        np.testing.assert_array_equal(values, two[name])
    assert (one["image"] != other["image"]).any()
    assert np.bincount(one["label"]).tolist() == [4] * 10


@pytest.mark.parametrize("size", [24, 32, 64])
def test_boxes_enclose_the_drawn_shapes_exactly(size: int) -> None:
    for seed in range(30):
        found = shapes.scene(np.random.default_rng(seed), size, clean=True)
        (thing,) = found.things
        (mask,) = found.masks
        left, top, right, bottom = thing.box
        assert 0 <= left < right <= size and 0 <= top < bottom <= size
        assert mask[top:bottom, left:right].sum() == mask.sum() > 0, "pixels outside the box"
        for edge in (mask[top], mask[bottom - 1], mask[:, left], mask[:, right - 1]):
            assert edge.any(), "the box is too large"
        light = np.ptp(found.pixels[~mask], axis=0)
        assert light.max() <= 36, "pixels outside the mask"


def span(shape: str) -> float:
    """The extent of a shape in its unit circle."""
    u, v = np.meshgrid(np.linspace(-1, 1, 401), np.linspace(-1, 1, 401))
    drawn = shapes.SHAPES[shape](u, v)
    return max(np.ptp(u[drawn]), np.ptp(v[drawn]))


def nearest_colour(pixels: np.ndarray) -> str:
    away = {name: np.abs(np.median(pixels, axis=0) - colour).sum() for name, colour in shapes.COLOURS.items()}
    return min(away, key=lambda name: away[name])


def test_captions_match_the_pixels() -> None:
    """Compares captions with pixels: colours, and position and size of the box."""
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


def test_several_shapes_have_a_box_and_a_phrase_each() -> None:
    found = shapes.scene(np.random.default_rng(0), 64, ("ring", "star"), clean=True)
    assert found.masks.shape == (2, 64, 64) and [thing.shape for thing in found.things] == ["ring", "star"]
    assert found.caption.count(" at the ") == 2 and " and a" in found.caption


# --- the publisher's files -------------------------------------------------------------------------------------------


def batch(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (rows, 3072), dtype=np.uint8), rng.integers(0, 10, rows, dtype=np.uint8)


def python_batch(pixels: np.ndarray, labels: np.ndarray, labels_first: bool) -> bytes:
    """What Python 2's cPickle wrote at protocol 2, opcode by opcode, with numpy's reconstruction of an array."""

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
        raise AssertionError("a pickle was unpickled")

    for name in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(pickle, name, refuse)
    train, test = batch(24, 0), batch(10, 1)
    files = {"data_batch_1": python_batch(*train, labels_first), "test_batch": python_batch(*test, labels_first)}
    found = project.read(archive(tmp_path / "python.tar.gz", files | {"batches.meta": b"", "readme.html": b"x"}))
    for (pixels, labels), got in zip((train, test), found, strict=True):
        np.testing.assert_array_equal(got["label"], labels)
        np.testing.assert_array_equal(got["image"][:, :, :, 0].reshape(len(labels), -1), pixels[:, :1024])  # red first
        assert got["image"].shape == (len(labels), 32, 32, 3) and got["label"].dtype == np.int64


def test_a_malicious_pickle_runs_nothing(tmp_path: Path) -> None:
    hostile = b"cos\nsystem\n(S'touch " + str(tmp_path / "owned").encode() + b"'\ntR."
    with pytest.raises(UsageError, match="expected 3,072 bytes per label"):
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
        ({"data_batch_1.bin": b"\x01" * 3072, "test_batch.bin": b""}, "expected records of 3,073 bytes"),
        ({"data_batch_1.bin": b"\x0b" * 3073, "test_batch.bin": b"\x01" * 3073}, "found label 11; expected 0 to 9"),
        ({"data_batch_1.bin.xz": b"no", "test_batch.bin": b"\x01" * 3073}, "damaged archive member"),
        ({"data_batch_1.bin": b"\x01" * 3073}, "found data_batch_1; expected data_batch_1 and so on, and test_batch"),
        ({}, "found no batches"),
    ],
)
def test_an_invalid_folder_is_one_line(tmp_path: Path, files: dict[str, bytes], words: str) -> None:
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError, match=words) as error:
        project.read(tmp_path)
    assert str(tmp_path) in str(error.value) and "\n" not in str(error.value)


def test_missing_paths_and_invalid_archives(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"not found; data\.path must name"):
        project.read(tmp_path / "nowhere")
    (tmp_path / "file").write_bytes(b"nothing")
    with pytest.raises(UsageError, match="unreadable tar archive"):
        project.read(tmp_path / "file")


def test_a_users_own_path_is_split_by_the_seed(tmp_path: Path) -> None:
    for name, content in (("data_batch_1.bin", binary(*batch(50, 0))), ("test_batch.bin", binary(*batch(10, 1)))):
        (tmp_path / name).write_bytes(content)
    settings = Data(path=str(tmp_path), rows=100, split=(0.7, 0.1, 0.2))
    prepared = project.Data().prepare(settings, "sample", seed=1)
    assert {name: len(part["label"]) for name, part in prepared.splits.items()} == {"train": 45, "val": 5, "test": 10}
    together = np.concatenate([prepared.splits[name]["image"] for name in ("train", "val")])
    assert len(np.unique(together.reshape(50, -1), axis=0)) == 50
    assert prepared.source == "CIFAR-10" and prepared.schema["classes"][0] == "airplane"
