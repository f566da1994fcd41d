"""A policy that holds a pole up: push to where it will lean."""

from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from roadmap.bundle import Manifest
from roadmap.io.json import JsonObject
from tests.support.bundles.writing import write

CARTPOLE: JsonObject = {
    "environment": "CartPole-v1",
    "options": {},
    "limit": 500,
    "states": None,
    "observations": ["position", "speed", "angle", "turn"],
    "actions": ["left", "right"],
}
LAKE: JsonObject = {
    "environment": "FrozenLake-v1",
    "options": {},
    "limit": 100,
    "states": 16,
    "observations": [],
    "actions": ["left", "down", "right", "up"],
}


def control(folder: Path) -> Manifest:
    """Chances by 10 (angle + turn / 2)."""
    push = np.array([[0, 0], [0, 0], [-5, 5], [-2.5, 2.5]], np.float32)
    visited = {"observations": [[0.0, 0.0, 0.01, 0.0], [0.1, 0.0, -0.02, 0.1]] * 20}
    ends = {"low": [-1.0, -2.0, -0.1, -2.0], "high": [1.0, 2.0, 0.1, 2.0], "states": []}
    example = [{"observation": [0.01, 0.02, 0.03, 0.04]}, {"observation": [0.0, 0.0, -0.05, 0.0]}]
    return policy(folder, push, CARTPOLE, {**visited, **ends}, example)


def frozen_lake(folder: Path, actions: list[int]) -> Manifest:
    """The action of each state, with a chance of almost 1."""
    visited = {"observations": [0, 4, 8], "states": [0, 4, 8, 9], "low": [], "high": []}
    example = [{"observation": 0}, {"observation": 4}]
    return policy(folder, 20 * np.eye(4, dtype=np.float32)[actions], LAKE, visited, example)


def policy(
    folder: Path, weights: np.ndarray, schema: JsonObject, visited: JsonObject, example: list[JsonObject]
) -> Manifest:
    """softmax(observations weights), and the values of a critic that is the first column of the observations.

    weights: float32 [size, actions]
    """
    arrays = {"weights": weights, "first": np.array([0]), "last": np.array([1])}
    nodes = [
        helper.make_node("MatMul", ["observations", "weights"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=-1),
        helper.make_node("Gather", ["observations", "first"], ["column"], axis=1),
        helper.make_node("Squeeze", ["column", "last"], ["values"]),
    ]
    graph = helper.make_graph(
        nodes,
        "hand_made",
        [helper.make_tensor_value_info("observations", TensorProto.FLOAT, ["n", len(weights)])],
        [
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", weights.shape[1]]),
            helper.make_tensor_value_info("values", TensorProto.FLOAT, ["n"]),
        ],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    files = {"schema.json": schema, "visited.json": visited, "example.json": example}
    return write(folder, "control", graph, files, source="by hand")
