"""Graphs in another precision, by ONNX Runtime's own tools.

    fp16          16-bit floats inside, float32 at the edges
    bf16          the same in bfloat16
    int8_dynamic  8-bit weights; the range of each activation is found anew at every run, over all of its rows
    int8_static   8-bit weights and activations, whose ranges were observed on training rows
    int8_weights  8-bit weights in blocks of 32, multiplied by activations that are rounded to 8 bits by row and block
    int4_weights  the same with 4-bit weights

Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference" (2018),
has the arithmetic of the 8-bit ones. Weights are symmetric, and per output channel or block.
"""

import logging
import math
import tempfile
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from roadmap.config.settings import Precision
from roadmap.io.errors import UsageError

Feed = dict[str, np.ndarray]  # the inputs of one run of a graph

OPERATORS = {  # what each precision changes, if its weights are constant
    "int8_dynamic": ("Conv", "MatMul", "Gemm", "LSTM", "Gather"),
    "int8_static": ("Conv", "MatMul", "Gemm", "Gather"),
    "bf16": ("Conv", "MatMul", "Gemm"),
    "int8_weights": ("MatMul",),
    "int4_weights": ("MatMul",),
}
BLOCK = 32  # weights that share a scale
INT8_PRODUCTS = 4  # MatMulNBits' accuracy level: activations are rounded to 8 bits too


def prepared(path: Path, precision: Precision) -> onnx.ModelProto:
    """The graph with what tools skip made plain: transposed constants, such as an output head tied to the embedding,
    are folded, and a Gemm is a MatMul where only those are quantised. Every node has a name."""
    model = onnx.load(path)
    if "Gemm" not in OPERATORS.get(precision, ("Gemm",)):
        from onnxruntime.quantization.onnx_model import ONNXModel

        ONNXModel(model).replace_gemm_with_matmul()
    graph = model.graph
    constants = {one.name: one for one in graph.initializer}
    folded = []
    for node in graph.node:
        if node.op_type == "Transpose" and node.input[0] in constants:
            value = numpy_helper.to_array(constants[node.input[0]])
            order = next((list(one.ints) for one in node.attribute if one.name == "perm"), None)
            turned = numpy_helper.from_array(np.ascontiguousarray(value.transpose(order)), node.output[0])
            constants[turned.name] = turned
            graph.initializer.append(turned)
            folded.append(node)
    for node in folded:
        graph.node.remove(node)
    used = {name for node in graph.node for name in node.input} | {one.name for one in graph.output}
    for one in [one for one in graph.initializer if one.name not in used]:
        graph.initializer.remove(one)
    for number, node in enumerate(graph.node):
        node.name = node.name or f"{node.op_type}_{number}"
    return model


@dataclass(frozen=True)
class Layer:
    """A node with constant weights. name: after the weights or the bias, where the graph names them; bytes: in fp32"""

    name: str
    node: str
    shape: tuple[int, ...]

    @property
    def bytes(self) -> int:
        return 4 * math.prod(self.shape)


def layers(model: onnx.ModelProto, precision: Precision) -> list[Layer]:
    """What can be quantised. model: as of `prepared`"""
    weights = {one.name: tuple(one.dims) for one in model.graph.initializer if one.data_type == TensorProto.FLOAT}
    after = {name: node for node in model.graph.node if node.op_type == "Add" for name in node.input}
    found: dict[str, Layer] = {}
    for node in model.graph.node:
        own = next((name for name in node.input if len(weights.get(name, ())) > 1), None)
        if own is None or node.op_type not in OPERATORS.get(precision, ()):
            continue
        named = [own, *node.input, *(after[node.output[0]].input if node.output[0] in after else ())]
        name = next((one.rpartition(".")[0] for one in named if one in weights and "." in one), node.name)
        name = name if name not in found else f"{name} ({node.name})"
        found[name] = Layer(name, node.name, weights[own])
    return list(found.values())


def quantise(
    model: onnx.ModelProto, path: Path, precision: Precision, nodes: Collection[str], feeds: Sequence[Feed] = ()
) -> None:
    """Writes the graph to `path`, the named nodes in the other precision. fp16 is all of the graph.

    model: as of `prepared`; nodes: of `layers`; feeds: runs that int8_static observes the activations of

    Raises:
        UsageError: ONNX Runtime has no kernels for it here.
    """
    draft = onnx.ModelProto()
    draft.CopyFrom(model)
    with _quiet():
        if precision == "fp16":
            from onnxruntime.transformers.float16 import convert_float_to_float16

            draft = convert_float_to_float16(draft, keep_io_types=True)
        elif precision == "bf16":
            _to_bfloat16(draft, nodes)
        elif precision in ("int8_weights", "int4_weights"):
            draft = _in_blocks(draft, int(precision[3]), nodes)
        else:
            draft = _in_int8(draft, precision, nodes, feeds)
    for part in (draft.graph, *draft.graph.node, *draft.graph.initializer):
        part.ClearField("doc_string")
        part.ClearField("metadata_props")
    _require_kernels(draft, f"{path.name}: {precision}")
    onnx.save(draft, path)


def _in_int8(
    model: onnx.ModelProto, precision: Precision, nodes: Collection[str], feeds: Sequence[Feed]
) -> onnx.ModelProto:
    from onnxruntime import quantization as tools

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "graph.onnx"
        chosen = {"weight_type": tools.QuantType.QInt8, "per_channel": True, "nodes_to_quantize": list(nodes)}
        if precision == "int8_dynamic":
            tools.quantize_dynamic(model, path, **chosen)
        else:
            tools.quantize_static(model, path, _Reader(feeds), activation_type=tools.QuantType.QUInt8, **chosen)
        return onnx.load(path)


def _in_blocks(model: onnx.ModelProto, bits: int, nodes: Collection[str]) -> onnx.ModelProto:
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

    others = [node.name for node in model.graph.node if node.name not in nodes]
    quantizer = MatMulNBitsQuantizer(
        model, bits, BLOCK, is_symmetric=True, accuracy_level=INT8_PRODUCTS, nodes_to_exclude=others
    )
    quantizer.process()
    found: onnx.ModelProto = quantizer.model.model
    return found


def _to_bfloat16(model: onnx.ModelProto, nodes: Collection[str]) -> None:
    """The weights as bfloat16, and a cast before and after each of the nodes."""
    graph = model.graph
    weights = {one.name: one for one in graph.initializer if one.data_type == TensorProto.FLOAT}
    changed: list[onnx.NodeProto] = []
    halved: set[str] = set()  # tensors that several nodes may read
    for node in graph.node:
        if node.name not in nodes:
            changed.append(node)
            continue
        for place, name in enumerate(node.input):
            node.input[place] = half = f"{name}/bf16"
            if name in halved:
                continue
            halved.add(name)
            if name in weights:
                value = numpy_helper.to_array(weights[name])
                graph.initializer.append(helper.make_tensor(half, TensorProto.BFLOAT16, value.shape, value.ravel()))
            else:
                changed.append(helper.make_node("Cast", [name], [half], f"{half}/cast", to=TensorProto.BFLOAT16))
        output, node.output[0] = node.output[0], f"{node.output[0]}/bf16"
        changed += [node, helper.make_node("Cast", [node.output[0]], [output], f"{output}/cast", to=TensorProto.FLOAT)]
    graph.ClearField("node")
    graph.node.extend(changed)
    read = {name for node in graph.node for name in node.input}
    for name in weights.keys() - read - {one.name for one in graph.output}:
        graph.initializer.remove(weights[name])


def _require_kernels(model: onnx.ModelProto, what: str) -> None:
    import onnxruntime

    try:
        onnxruntime.InferenceSession(model.SerializeToString(), providers=onnxruntime.get_available_providers())
    except Exception as error:  # its exceptions have no common base
        found = str(error).rpartition(" : ")[2].splitlines()[0]
        raise UsageError(
            f"{what}: found no way to run it in ONNX Runtime {onnxruntime.__version__} with "
            f"{', '.join(onnxruntime.get_available_providers())} ({found}); choose another precision"
        ) from None


class _Reader:
    """A CalibrationDataReader of ONNX Runtime."""

    def __init__(self, feeds: Sequence[Feed]) -> None:
        self.feeds = iter(feeds)

    def get_next(self) -> Feed | None:
        return next(self.feeds, None)


@contextmanager
def _quiet() -> Iterator[None]:
    """The tools advise to preprocess graphs, which `prepared` has done as far as it matters."""
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
