"""How much each layer alone changes the graph's outputs in another precision."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
from onnx import ModelProto

from roadmap.config.settings import Precision
from roadmap.quantisation.graphs import Feed, Layer, quantise

RUNS = 16  # of a graph, for each layer


@dataclass(frozen=True)
class Sensitivity:
    """error: of the graph's outputs, as a share of their size, if this layer alone is in the other precision"""

    graph: str
    layer: Layer
    error: float


def sensitivities(
    file: str, model: ModelProto, precision: Precision, chosen: Sequence[Layer], feeds: Sequence[Feed]
) -> list[Sensitivity]:
    """One for each layer. file, model: a graph as of `prepared`; feeds: runs of it"""
    runs = list(feeds[:RUNS])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / file
        expected = outputs(model.SerializeToString(), runs)
        found = []
        for layer in chosen:
            quantise(model, path, precision, [layer.node], runs)
            found.append(Sensitivity(file, layer, relative_error(outputs(path.read_bytes(), runs), expected)))
        return found


def outputs(graph: bytes, runs: Sequence[Feed]) -> list[np.ndarray]:
    """Of every run, those that are floats."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    return [one for feed in runs for one in session.run(None, feed) if one.dtype == np.float32]


def relative_error(found: Sequence[np.ndarray], expected: Sequence[np.ndarray]) -> float:
    """Root of the summed squares of the differences, by that of what is expected."""
    away = sum(
        float(np.square(one - other, dtype=np.float64).sum()) for one, other in zip(found, expected, strict=True)
    )
    size = sum(float(np.square(one, dtype=np.float64).sum()) for one in expected)
    return float(np.sqrt(away / size)) if size else 0.0
