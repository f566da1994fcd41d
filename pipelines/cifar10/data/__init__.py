"""CIFAR-10: generated shapes of 32x32 pixels (sample), or Krizhevsky's 60,000 photographs (full, or from `path`).

Reads the publisher's two layouts, from an archive or a folder, without unpickling:

binary version    *.bin (or *.bin.xz): records of a label byte and 3,072 pixel bytes
python version    data_batch_1 to _5, test_batch: pickles, read as lists of opcodes
"""

import lzma
import pickletools
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.cifar10 import settings
from roadmap import project
from roadmap.data import scenes as shapes
from roadmap.data import splits
from roadmap.data.download import fetch
from roadmap.data.splits import PreparedData, split_indices
from roadmap.data.training_set import TrainingSet
from roadmap.inference import images
from roadmap.io.errors import UsageError
from roadmap.project import Request, Row, Schema

URL = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
MD5 = "md5:c58f30108f718f92721af3b95e74349a"
CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
SIZE = 32
PIXELS = 3 * SIZE * SIZE
NAME = re.compile(r"(data_batch_\d+|test_batch)(\.bin|\.bin\.xz)?")
VALIDATION = 0.1  # fraction of the official training images, as in He et al. (2015)


class Data(project.Data[settings.Data], project.TakesLabels):
    def prepare(self, data: settings.Data, profile: str, seed: int) -> PreparedData:
        if profile == "sample" and data.path is None:
            found = shapes.classified(data.rows, SIZE, seed)
            rows = split_indices(data.rows, data.split, seed, strata=found["label"])
            arrays = {name: {key: values[index] for key, values in found.items()} for name, index in rows.items()}
            source, licence, classes = "drawn shapes", "Apache-2.0", list(shapes.SHAPES)
        else:
            train, test = read(Path(data.path) if data.path else fetch("cifar10", URL, MD5))
            order = np.random.default_rng(seed).permutation(len(train["label"]))
            cut = round(VALIDATION * len(order))
            parts = {"train": np.sort(order[cut:]), "val": np.sort(order[:cut])}
            arrays = {name: {key: values[index] for key, values in train.items()} for name, index in parts.items()}
            arrays["test"] = test
            source, licence, classes = "CIFAR-10", "not stated by the publisher", CLASSES
        schema = {"task": "images", "size": SIZE, "target": "label", "classes": classes}
        return PreparedData(splits=arrays, source=source, licence=licence, schema=schema)

    def labelled(self, request: Request, schema: Schema) -> Row | None:
        """The image of a request; None if it has another size."""
        try:
            return {"image": images.decode(request.get("image"), schema["size"])}
        except ValueError:
            return None

    def training(self, folder: Path) -> TrainingSet:
        """Images stay uint8, [n, 32, 32, 3]. A random bit per image selects the epochs in which it is mirrored."""
        schema = splits.read_card(folder)["schema"]
        train, val = (splits.read_arrays(folder, name) for name in ("train", "val"))
        mean, std, patches = statistics(train["image"])
        coins = np.random.default_rng(0)
        return TrainingSet(
            train=(train["image"], coins.integers(0, 2, len(train["label"])), train["label"]),
            val=(val["image"], np.zeros(len(val["label"]), np.int64), val["label"]),
            model={"size": SIZE, "classes": len(schema["classes"]), "mean": mean, "std": std, "patches": patches},
            assets={
                "example.json": [{"image": images.encode(image)} for image in train["image"][:2]],
                "schema.json": schema,
            },
        )

    def test_rows(self, folder: Path, split: str = "test") -> tuple[list[Request], np.ndarray]:
        """Images as PNG, and classes int64 [n]."""
        test = splits.read_arrays(folder, split)
        return [{"image": images.encode(image)} for image in test["image"]], test["label"]


def read(path: Path) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Training and test set, each image uint8 [n, 32, 32, 3] and label int64 [n].

    Raises:
        UsageError: missing file, truncated or damaged batch, or no batches.
    """
    batches: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for name, content in _members(path):
        batch, _, suffix = name.partition(".")
        where = f"{path}: {name}"
        batches[batch] = records(_unpacked(content, where, suffix), where) if suffix else pickled(content, where)
    train = [batch for name, batch in sorted(batches.items()) if name != "test_batch"]
    if not train or "test_batch" not in batches:
        raise UsageError(
            f"{path}: found {', '.join(sorted(batches)) or 'no batches'}; expected data_batch_1 and so on, and "
            "test_batch, of CIFAR-10's binary version (.bin, .bin.xz) or python version"
        )
    return _joined(train), _joined([batches["test_batch"]])


def _members(path: Path) -> Iterator[tuple[str, bytes]]:
    """The batch files' names and contents."""
    if path.is_dir():
        for file in sorted(path.iterdir()):
            if NAME.fullmatch(file.name):
                yield file.name, file.read_bytes()
        return
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                name = member.name.rpartition("/")[2]
                if NAME.fullmatch(name) and (stream := archive.extractfile(member)):
                    yield name, stream.read()
    except FileNotFoundError:
        raise UsageError(f"{path}: not found; data.path must name a CIFAR-10 archive or folder") from None
    except (tarfile.TarError, EOFError, OSError) as error:
        raise UsageError(f"{path}: unreadable tar archive ({error})") from None


def _unpacked(content: bytes, where: str, suffix: str) -> bytes:
    try:
        return lzma.decompress(content) if suffix.endswith("xz") else content
    except lzma.LZMAError as error:
        raise UsageError(f"{where}: damaged archive member ({error})") from None


def records(content: bytes, where: str) -> tuple[np.ndarray, np.ndarray]:
    """The binary version. -> pixels uint8 [n, 3072], labels uint8 [n]

    Raises:
        UsageError: truncated, or a label beyond 9.
    """
    if not content or len(content) % (1 + PIXELS):
        raise UsageError(
            f"{where}: {len(content):,} bytes; expected records of {1 + PIXELS:,} bytes; the file may be truncated"
        )
    table = np.frombuffer(content, np.uint8).reshape(-1, 1 + PIXELS)
    return _checked(table[:, 1:], table[:, 0], where)


def pickled(content: bytes, where: str) -> tuple[np.ndarray, np.ndarray]:
    """Reads a pickled {'data': array of bytes, 'labels': list of small integers, ...} without running it.

    Only the opcodes of strings and one-byte integers matter: a string that is a key of the dictionary, in any order,
    labels the values after it.

    -> as `records`

    Raises:
        UsageError: not a batch of the python version, truncated, or a label beyond 9.
    """
    key, pixels, labels = "", b"", bytearray()
    try:
        argument: Any
        for opcode, argument, _ in pickletools.genops(content):
            if argument in ("batch_label", "data", "filenames", "labels"):
                key = str(argument)
            elif key == "labels" and opcode.name == "BININT1":
                labels.append(argument)
            elif key == "data" and opcode.name in ("BINSTRING", "BINBYTES") and len(argument) > len(pixels):
                pixels = argument if isinstance(argument, bytes) else argument.encode("latin-1")
    except (ValueError, UnicodeError) as error:
        raise UsageError(f"{where}: not a batch of CIFAR-10's python version ({error})") from None
    if not labels or len(pixels) != PIXELS * len(labels):
        raise UsageError(
            f"{where}: {len(labels):,} labels and {len(pixels):,} bytes of pixels; expected {PIXELS:,} bytes per label"
        )
    return _checked(np.frombuffer(pixels, np.uint8).reshape(-1, PIXELS), np.frombuffer(labels, np.uint8), where)


def _checked(pixels: np.ndarray, labels: np.ndarray, where: str) -> tuple[np.ndarray, np.ndarray]:
    if labels.max() > 9:
        raise UsageError(f"{where}: found label {labels.max()}; expected 0 to 9")
    return pixels, labels


def _joined(batches: list[tuple[np.ndarray, np.ndarray]]) -> dict[str, np.ndarray]:
    planes = np.concatenate([pixels for pixels, _ in batches]).reshape(-1, 3, 32, 32)
    labels = np.concatenate([labels for _, labels in batches])
    return {"image": np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), "label": labels.astype(np.int64)}


def statistics(pixels: np.ndarray, most: int = 5_000) -> tuple[list[float], list[float], list[list[float]]]:
    """Mean and standard deviation by channel of values from 0 to 1, and the second moments of normalised 2x2 patches.

    pixels: uint8 [n, h, w, 3]. From the first `most`, enough for three digits. -> [3], [3], [12][12]
    """
    x = pixels[:most].astype(np.float32) / 255
    mean, std = x.mean(axis=(0, 1, 2)), x.std(axis=(0, 1, 2))
    x = (x - mean) / np.maximum(std, 1e-3)
    windows = np.lib.stride_tricks.sliding_window_view(x, (2, 2), axis=(1, 2))  # [n, h - 1, w - 1, 3, 2, 2]
    flat = windows.reshape(-1, 12)
    return mean.tolist(), np.maximum(std, 1e-3).tolist(), (flat.T @ flat / len(flat)).tolist()
