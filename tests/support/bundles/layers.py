"""A linear layer as a graph."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def dense(
    weights: np.ndarray, bias: np.ndarray, nodes: list[onnx.NodeProto] | None = None, *, x: str = "x", scores: str
) -> onnx.GraphProto:
    """x -> y through scores = x @ weights + bias; `nodes` come before it (if they compute x) or after it."""
    initializers = [
        numpy_helper.from_array(weights.astype(np.float32), "weights"),
        numpy_helper.from_array(bias.astype(np.float32), "bias"),
    ]
    single = weights.shape[1] == 1
    dense = [helper.make_node("Gemm", [x, "weights", "bias"], ["wide" if single else scores])]
    if single:  # [n, 1] -> [n], what the tabular predictors expect
        initializers.append(numpy_helper.from_array(np.array([1], dtype=np.int64), "axis"))
        dense.append(helper.make_node("Squeeze", ["wide", "axis"], [scores]))
    before, after = (nodes or [], []) if x != "x" else ([], nodes or [])
    size = int(np.sqrt(weights.shape[0]))
    shape: list[str | int] = ["n", 1, size, size] if x != "x" else ["n", weights.shape[0]]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n"] if single else ["n", weights.shape[1]])]
    return helper.make_graph([*before, *dense, *after], "hand_made", inputs, outputs, initializers)
