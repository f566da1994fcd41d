"""What of a network goes into one ONNX file, for networks that are more than `x -> y`."""

from dataclasses import dataclass, field

from torch import Tensor, nn


@dataclass(frozen=True)
class Graph:
    """A module with example inputs, in the order of its `forward`.

    dynamic   input name -> axis -> name of the dimension that is free there; the same name means the same size
    dynamo    False: exported from a TorchScript trace, for what the newer exporter can't leave free
    """

    module: nn.Module
    inputs: dict[str, Tensor]
    outputs: tuple[str, ...]
    dynamic: dict[str, dict[int, str]] = field(default_factory=dict)
    dynamo: bool = True
