"""Image projects: letterforms and colours."""

from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from roadmap.bundle import Manifest
from tests.support.bundles.layers import dense
from tests.support.bundles.writing import write

# The digits of the public-domain font8x8: eight bytes each, a byte per row, the lowest bit on the left.
FONT = (
    "3e63737b6f673e00 0c0e0c0c0c0c3f00 1e33301c06333f00 1e33301c30331e00 383c36337f307800 "
    "3f031f3030331e00 1c06031f33331e00 3f3330180c0c0c00 1e33331e33331e00 1e33333e30180e00"
)


def mnist(folder: Path) -> Manifest:
    """The nearest letterform: argmax over x.t - |t|^2/2 is the digit whose form t is closest to x."""
    digits = glyphs() / 255
    nodes = [helper.make_node("Flatten", ["x"], ["flat"])]
    graph = dense(digits.reshape(10, 64).T, -(digits**2).sum((1, 2)) / 2, nodes, x="flat", scores="y")
    schema = {"task": "images", "size": 8, "target": "digit", "classes": list("0123456789")}
    example = [{"image": glyphs()[digit].tolist()} for digit in (3, 7)]
    return write(folder, "mnist", graph, {"schema.json": schema, "example.json": example}, source="font8x8")


def cifar10(folder: Path) -> Manifest:
    """Predicts the dominant colour."""
    size, colours = 8, ["red", "green", "blue"]
    nodes = [
        helper.make_node("Cast", ["x"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["float"], ["mean"], axes=[1, 2], keepdims=0),
        helper.make_node("Mul", ["mean", "scale"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "hand_made",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, ["n", size, size, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])],
        [numpy_helper.from_array(np.array(0.05, np.float32), "scale")],
    )
    example = [{"image": np.full((size, size, 3), colour).tolist()} for colour in ([200, 40, 40], [40, 40, 200])]
    schema = {"task": "images", "target": "label", "size": size, "classes": colours}
    assets = {"schema.json": schema, "example.json": example}
    return write(folder, "cifar10", graph, assets, source="paint")


def glyphs() -> np.ndarray:
    """-> int64 [10, 8, 8] of 0 and 255"""
    rows = np.array([list(bytes.fromhex(digit)) for digit in FONT.split()], dtype=np.uint8)
    return np.unpackbits(rows[..., None], axis=-1, bitorder="little").astype(np.int64) * 255
