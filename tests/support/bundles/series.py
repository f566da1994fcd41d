"""Time series: a random walk."""

from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from pipelines.stocks.predict.features import HISTORY, STEPS
from roadmap.bundle import Manifest
from tests.support.bundles.writing import write


def stocks(folder: Path) -> Manifest:
    """A random walk: quantiles as wide as the volatility times the root of the days."""
    days, levels = [1, 5, 20], [0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975]
    normal = np.array([-1.96, -1.282, -0.674, 0.0, 0.674, 1.282, 1.96])
    nodes = [
        helper.make_node("Unsqueeze", ["scale", "axes"], ["wide"]),
        helper.make_node("Mul", ["wide", "quantiles"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "hand_made",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", STEPS, 4]),
            helper.make_tensor_value_info("scale", TensorProto.FLOAT, ["n"]),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", len(days), len(levels)])],
        [
            numpy_helper.from_array((np.sqrt(days)[:, None] * normal).astype(np.float32), "quantiles"),
            numpy_helper.from_array(np.array([1, 2], np.int64), "axes"),
        ],
    )
    returns = np.random.default_rng(0).normal(0, 0.01, (2, HISTORY))
    closes = np.round(100 * np.exp(np.cumsum(returns, axis=1)), 4)
    example = [{"symbol": f"WALK{i}", "close": close.tolist()} for i, close in enumerate(closes)]
    assets = {"schema.json": {"task": "series", "horizons": days, "quantiles": levels}, "example.json": example}
    return write(folder, "stocks", graph, assets, source="a random walk")
