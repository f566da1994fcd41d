"""The parts of a network that are exported as ONNX files of their own, for networks other than `x -> y`."""

from dataclasses import dataclass, field

from torch import Tensor, nn


@dataclass(frozen=True)
class Graph:
    """A module with example inputs, in the order of its `forward`.

    dynamic   input name -> axis -> name of the dynamic dimension; equal names mean equal sizes. Of a trace outputs too
    dynamo    False: export from a TorchScript trace, for dimensions that the newer exporter can't keep dynamic
    """

    module: nn.Module
    inputs: dict[str, Tensor]
    outputs: tuple[str, ...]
    dynamic: dict[str, dict[int, str]] = field(default_factory=dict)
    dynamo: bool = True
