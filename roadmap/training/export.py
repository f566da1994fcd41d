"""A trained network as ONNX graphs, each checked against the network itself."""

import inspect
import logging
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn


class Graph(Protocol):
    """What of a network goes into one ONNX file; models/graph.py has one.

    inputs    by name, in the order of the module's `forward`: the example that it is exported and checked with
    dynamic   input name -> axis -> name of the dimension that is free there; the same name means the same size
    dynamo    False: exported from a TorchScript trace, for what the newer exporter can't leave free
    """

    @property
    def module(self) -> nn.Module: ...
    @property
    def inputs(self) -> dict[str, Tensor]: ...
    @property
    def outputs(self) -> tuple[str, ...]: ...
    @property
    def dynamic(self) -> dict[str, dict[int, str]]: ...
    @property
    def dynamo(self) -> bool: ...


@runtime_checkable
class Graphs(Protocol):
    """A network that says which graphs it is shipped as: file name -> graph. {}: it only serves to train another."""

    def graphs(self, example: tuple[Tensor, ...]) -> Mapping[str, Graph]: ...


@dataclass(frozen=True)
class Whole:
    """A network that is one graph."""

    module: nn.Module
    inputs: dict[str, Tensor]
    outputs: tuple[str, ...]
    dynamic: dict[str, dict[int, str]]
    dynamo: bool = True


def export(model: nn.Module, example: tuple[np.ndarray, ...], folder: Path, name: str = "model") -> None:
    """Writes the network's own `Graphs`; where it names none, one: <name>.onnx, x -> y, free batch.

    example: rows of the validation set, [2, ...] each, the target left out

    Raises:
        RuntimeError: a graph does not answer as the network does.
    """
    inputs = tuple(map(torch.from_numpy, example))
    alone = {f"{name}.onnx": Whole(model, {"x": inputs[0]}, ("y",), {"x": {0: "batch"}})}
    for file, graph in (model.graphs(inputs) if isinstance(model, Graphs) else alone).items():
        write(graph, folder / file)


def write(graph: Graph, path: Path) -> None:
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    axes = {name: graph.dynamic.get(name, {}) for name in graph.inputs}
    if graph.dynamo:
        dims = {name: torch.export.Dim(name) for shape in axes.values() for name in shape.values()}
        shapes: tuple[Any, ...] = tuple({axis: dims[name] for axis, name in shape.items()} for shape in axes.values())
        named = [p for p in inspect.signature(graph.module.forward).parameters.values() if p.kind != p.VAR_POSITIONAL]
        if len(named) < len(shapes):  # forward(self, x, *others): torch.export wants the others as one
            shapes = (*shapes[: len(named)], shapes[len(named) :])
        free: dict[str, Any] = {"dynamo": True, "external_data": False, "dynamic_shapes": shapes}
    else:
        free = {"dynamo": False, "dynamic_axes": axes}
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            graph.module,
            tuple(graph.inputs.values()),
            path,
            input_names=list(graph.inputs),
            output_names=list(graph.outputs),
            verbose=False,
            **free,
        )
    strip(path)
    check(graph, path)


def strip(path: Path) -> None:
    """Removes the exporter's notes, which name files of this machine: the same network is the same bytes everywhere."""
    import onnx

    model = onnx.load(path)
    graph = model.graph
    for part in (graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    onnx.save(model, path)


def check(graph: Graph, path: Path) -> None:
    """Asks both the same question."""
    import onnxruntime

    with torch.no_grad():
        expected = graph.module(*graph.inputs.values())
    expected = expected if isinstance(expected, tuple) else (expected,)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    answers = session.run(list(graph.outputs), {name: value.numpy() for name, value in graph.inputs.items()})
    for name, got, wanted in zip(graph.outputs, answers, (value.numpy() for value in expected), strict=True):
        size = float(np.abs(wanted).max(initial=0))
        if not np.allclose(got, wanted, rtol=1e-3, atol=1e-4 * max(1.0, size)):
            raise RuntimeError(
                f"{path}: {name}: the exported graph answers {got.ravel()[:3]}, the network {wanted.ravel()[:3]}"
            )
