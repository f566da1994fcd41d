"""MNIST: scikit-learn's 1,797 handwritten digits of 8x8 pixels (sample), or LeCun's 70,000 of 28x28 (full)."""

import gzip
from pathlib import Path

import numpy as np

from pipelines.mnist import settings
from roadmap import project
from roadmap.data import splits
from roadmap.data.download import fetch
from roadmap.data.splits import PreparedData, split_indices
from roadmap.data.training_set import TrainingSet
from roadmap.inference.images import read
from roadmap.io.errors import UsageError
from roadmap.project import Request, Row, Schema

# LeCun, Cortes and Burges; the files and md5 sums that torchvision publishes.
URL = "https://ossci-datasets.s3.amazonaws.com/mnist/"
MD5 = {
    "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
    "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
    "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
    "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
}
VALIDATION = 5_000  # of the 60,000 official training images


class Data(project.Data[settings.Data], project.TakesLabels):
    def prepare(self, data: settings.Data, profile: str, seed: int) -> PreparedData:
        if profile == "sample":
            images, labels = digits()
            rows = split_indices(len(labels), data.split, seed, strata=labels)
            source, licence = "scikit-learn digits", "CC BY 4.0 (UCI)"
            arrays = {name: {"image": images[index], "digit": labels[index]} for name, index in rows.items()}
        else:
            images, labels = (idx(f"train-{part}-ubyte.gz") for part in ("images-idx3", "labels-idx1"))
            order = np.random.default_rng(seed).permutation(len(labels))
            train, val = np.sort(order[VALIDATION:]), np.sort(order[:VALIDATION])
            arrays = {
                name: {"image": images[index], "digit": labels[index]}
                for name, index in (("train", train), ("val", val))
            }
            arrays["test"] = {"image": idx("t10k-images-idx3-ubyte.gz"), "digit": idx("t10k-labels-idx1-ubyte.gz")}
            source, licence = "MNIST", "CC BY-SA 3.0"
        schema = {"task": "images", "size": images.shape[-1], "target": "digit", "classes": list("0123456789")}
        return PreparedData(splits=arrays, source=source, licence=licence, schema=schema)

    def labelled(self, request: Request, schema: Schema) -> Row | None:
        """The picture of a request; None where it is none of this size."""
        value, size = request.get("image"), schema["size"]
        try:
            image = read(value, size, mode="L") if isinstance(value, str) else np.array(value, np.uint8)
        except (ValueError, TypeError, OverflowError):
            return None
        return {"image": image} if image.shape == (size, size) else None

    def training(self, folder: Path) -> TrainingSet:
        """Images as float32 [n, 1, size, size] from 0 to 1."""
        train, val = (splits.read_arrays(folder, name) for name in ("train", "val"))
        example = [{"image": image.tolist()} for image in train["image"][:2]]
        x = pixels(train["image"])
        return TrainingSet(
            train=(x, train["digit"]),
            val=(pixels(val["image"]), val["digit"]),
            model={"size": x.shape[-1], "mean": float(x.mean()), "std": float(x.std())},
            assets={"example.json": example, "schema.json": splits.read_card(folder)["schema"]},
        )

    def test_rows(self, folder: Path, split: str = "test") -> tuple[list[Request], np.ndarray]:
        """Images as rows of grey values, and digits int64 [n]."""
        test = splits.read_arrays(folder, split)
        return [{"image": image.tolist()} for image in test["image"]], test["digit"]


def digits() -> tuple[np.ndarray, np.ndarray]:
    """-> images uint8 [1797, 8, 8] of 0 to 255, labels int64 [1797]"""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    return np.round(bunch.images * (255 / 16)).astype(np.uint8), bunch.target.astype(np.int64)


def idx(name: str) -> np.ndarray:
    """An IDX file: a magic number with the number of dimensions, their sizes, then the bytes.

    -> images uint8 [n, h, w], or labels int64 [n]

    Raises:
        UsageError: not a file of bytes, or truncated.
    """
    with gzip.open(fetch("mnist", URL + name, f"md5:{MD5[name]}")) as file:
        content = file.read()
    dims = content[3]
    shape = np.frombuffer(content, ">u4", count=dims, offset=4)
    values = np.frombuffer(content, np.uint8, offset=4 + 4 * dims)
    if content[:3] != b"\x00\x00\x08" or len(values) != np.prod(shape):
        raise UsageError(f"{name}: not an IDX file of bytes, or truncated")
    values = values.reshape(shape)
    return values if dims > 1 else values.astype(np.int64)


def pixels(images: np.ndarray) -> np.ndarray:
    """uint8 [n, h, w] -> float32 [n, 1, h, w] from 0 to 1"""
    return images[:, None].astype(np.float32) / 255
