"""The PyTorch network of a bundle, with the weights of its ONNX graph.

Training deletes its checkpoints, so only the graph has the weights. Most of its initializers have the names of the
network's parameters; the others were renamed by the exporter, and are matched by order.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper

from roadmap.bundle import Bundle, Predictor, load_predictor

if TYPE_CHECKING:
    from roadmap.inference.language.generation import Generator

RECIPE: dict[str, Any] = {"lr": 0.0, "weight_decay": 0.0}  # for training, unused here
Arrays = dict[str, np.ndarray]


class TorchSession:
    """A network that replaces the ONNX Runtime session of `graph`: `run(names, feeds)`."""

    def __init__(self, network: torch.nn.Module, graph: onnx.GraphProto) -> None:
        self.network = network.eval()
        self.names = [output.name for output in graph.output]

    @torch.inference_mode()
    def run(self, wanted: list[str] | None, feeds: Arrays) -> list[np.ndarray]:
        """The outputs, arrays like those of the graph; in the order of `wanted`."""
        outputs = self.network(*map(torch.from_numpy, feeds.values()))
        named = dict(zip(self.names, outputs if isinstance(outputs, tuple) else (outputs,), strict=True))
        return [named[name].numpy() for name in wanted or self.names]


def with_torch(bundle: Bundle) -> Predictor:
    """The bundle's predictor with the PyTorch network."""
    predictor: Any = load_predictor(bundle)
    if bundle.manifest.project == "mini_gpt":
        graph = onnx.load(bundle.folder / "decoder.onnx").graph
        predictor.decoder.session = TorchSession(mini_gpt(graph, predictor), graph)
    else:
        build = {"mnist": mnist, "titanic": titanic, "imdb": imdb}[bundle.manifest.project]
        graph = onnx.load(bundle.folder / "model.onnx").graph
        predictor.session = TorchSession(build(graph), graph)
    return predictor


def arrays(graph: onnx.GraphProto) -> Arrays:
    """The initializers by name, copied."""
    return {one.name: numpy_helper.to_array(one).copy() for one in graph.initializer}


def filled(network: torch.nn.Module, found: Arrays) -> torch.nn.Module:
    """The network with these weights.

    Raises:
        KeyError: a parameter or buffer is missing.
        RuntimeError: one has another shape.
    """
    state = {name: torch.tensor(found[name]) for name in network.state_dict()}
    network.load_state_dict(state)
    return network


def mnist(graph: onnx.GraphProto) -> torch.nn.Module:
    from models.mnist import CNN

    found = arrays(graph)
    width = len(found["layers.0.weight"])
    size = 4 * round((found["layers.9.weight"].shape[1] / (4 * width)) ** 0.5)
    return filled(CNN(size=size, mean=0.0, std=1.0, width=width, shift=0, **RECIPE), found)


def titanic(graph: onnx.GraphProto) -> torch.nn.Module:
    from models.titanic import Classifier

    found = arrays(graph)
    shapes = [value.shape for name, value in found.items() if name.endswith("weight")]
    return filled(Classifier(shapes[0][1], [rows for rows, _ in shapes[:-1]], dropout=0.0, **RECIPE), found)


def imdb(graph: onnx.GraphProto) -> torch.nn.Module:
    from models.imdb import LSTM, Explained

    found = {name.removeprefix("model."): value for name, value in arrays(graph).items()}
    for node in graph.node:
        if node.op_type == "LSTM":
            layer = node.name.split("/")[1]  # forwards or backwards
            w, r, b = (found[name][0] for name in node.input[1:4])
            found[f"{layer}.weight_ih_l0"], found[f"{layer}.weight_hh_l0"] = gates(w), gates(r)
            found[f"{layer}.bias_ih_l0"], found[f"{layer}.bias_hh_l0"] = map(gates, np.split(b, 2))
        elif node.name == "/max/MatMul":
            found["max.weight"] = found[node.input[1]].T
    hidden = found["forwards.weight_hh_l0"].shape[1]
    embedding = found["embedding.weight"]
    network = LSTM(embedding, embedding.shape[1], hidden, dropout=0.0, word_dropout=0.0, **RECIPE)
    return Explained(filled(network, found))  # type: ignore[arg-type]


def gates(stacked: np.ndarray) -> np.ndarray:
    """[4h, ...]: ONNX stacks an LSTM's gates as input, output, forget, cell; PyTorch as input, forget, cell, output."""
    i, o, f, c = np.split(stacked, 4)
    return np.concatenate([i, f, c, o])


def mini_gpt(graph: onnx.GraphProto, predictor: "Generator") -> torch.nn.Module:
    from models.decoders.gpt import GPT
    from models.decoders.language_model import Decoder

    found = {name.removeprefix("gpt."): value for name, value in arrays(graph).items()}
    found["tokens.weight"] = found["head.weight"]  # one matrix for both
    matrices = [found[n.input[1]] for n in graph.node if n.op_type == "MatMul" and n.input[1] in found]
    vocab, width = found["head.weight"].shape
    network = GPT(
        vocab=vocab,
        block=predictor.block,
        layers=len(predictor.decoder.names) // 2,
        heads=predictor.decoder.heads,
        width=width,
        positions="rotary",
        bias=False,
        dropout=0.0,
        final_lr=0.0,
        warmup=0,
        beta2=0.0,
        **RECIPE,
    )
    linear = [name for name, value in network.state_dict().items() if name.startswith("blocks.") and value.ndim == 2]
    found |= {name: matrix.T for name, matrix in zip(linear, matrices, strict=True)}
    return Decoder(filled(network, found))  # type: ignore[arg-type]
