"""Exports trained networks to ONNX and checks each graph against its network."""

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
    """The export of one ONNX file; models/graph.py implements it.

    inputs    example inputs for export and check, by name, in the order of the module's `forward`
    dynamic   input name -> axis -> name of the dynamic dimension; equal names mean equal sizes. Of a trace outputs too
    dynamo    False: export from a TorchScript trace, for dimensions that the newer exporter can't keep dynamic
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
    """A network that defines its graphs: file name -> graph. {}: it only serves to train another."""

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
    """Writes the network's own `Graphs`, by default one: <name>.onnx, x -> y, dynamic batch size.

    example: rows of the validation set, [2, ...] each, without the target

    Raises:
        RuntimeError: the outputs of a graph and its network differ.
    """
    inputs = tuple(map(torch.from_numpy, example))
    alone = {f"{name}.onnx": Whole(model, {"x": inputs[0]}, ("y",), {"x": {0: "batch"}})}
    for file, graph in (model.graphs(inputs) if isinstance(model, Graphs) else alone).items():
        write(graph, folder / file)


def write(graph: Graph, path: Path) -> None:
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    graph.module.eval()  # a wrapper around a network is in training mode, into which the exporter puts both back
    axes = {name: graph.dynamic.get(name, {}) for name in graph.inputs}
    if graph.dynamo:
        dims = {name: torch.export.Dim(name) for shape in axes.values() for name in shape.values()}
        shapes: tuple[Any, ...] = tuple({axis: dims[name] for axis, name in shape.items()} for shape in axes.values())
        named = [p for p in inspect.signature(graph.module.forward).parameters.values() if p.kind != p.VAR_POSITIONAL]
        if len(named) < len(shapes):  # forward(self, x, *others): torch.export expects `others` as one
            shapes = (*shapes[: len(named)], shapes[len(named) :])
        free: dict[str, Any] = {"dynamo": True, "external_data": False, "dynamic_shapes": shapes}
    else:
        free = {"dynamo": False, "dynamic_axes": graph.dynamic}
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
    """Removes metadata with local paths, so that the same network is the same bytes everywhere."""
    import onnx

    model = onnx.load(path)
    graph = model.graph
    for part in (graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    onnx.save(model, path)


def check(graph: Graph, path: Path) -> None:
    """Compares the outputs of both on the example.

    Raises:
        RuntimeError: they differ.
    """
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
                f"{path}: {name}: found {got.ravel()[:3]} from the exported graph; "
                f"expected {wanted.ravel()[:3]} as from the network"
            )
