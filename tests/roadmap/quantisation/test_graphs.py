"""Each precision of a small graph: close to fp32, smaller, the same bytes every time."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from roadmap.config.settings import Precision
from roadmap.io.errors import UsageError
from roadmap.quantisation.graphs import Feed, layers, prepared, quantise
from roadmap.quantisation.sensitivity import outputs, relative_error, sensitivities

RANDOM = np.random.default_rng(0)
FEEDS: list[Feed] = [{"tokens": RANDOM.integers(0, 200, (2, 5))} for _ in range(12)]
ERRORS: dict[Precision, float] = {
    "fp16": 0.002, "int8_dynamic": 0.03, "int8_static": 0.03, "int8_weights": 0.02, "int4_weights": 0.2
}  # fmt: skip


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Embedding -> convolution over time -> Gemm -> head that is tied to the embedding."""
    arrays = {
        "tokens.weight": RANDOM.normal(size=(200, 64)),
        "mix.weight": RANDOM.normal(size=(64, 64, 3)) / 14,
        "wide.weight": RANDOM.normal(size=(64, 64)) / 8,
        "wide.bias": RANDOM.normal(size=64),
    }
    constants = [numpy_helper.from_array(value.astype(np.float32), name) for name, value in arrays.items()]
    constants.append(numpy_helper.from_array(np.array([-1, 64]), "flat"))
    nodes = [
        helper.make_node("Gather", ["tokens.weight", "tokens"], ["x"]),
        helper.make_node("Transpose", ["x"], ["turned"], perm=[0, 2, 1]),
        helper.make_node("Conv", ["turned", "mix.weight"], ["mixed"], pads=[1, 1]),
        helper.make_node("Transpose", ["mixed"], ["back"], perm=[0, 2, 1]),
        helper.make_node("Reshape", ["back", "flat"], ["rows"]),
        helper.make_node("Gemm", ["rows", "wide.weight", "wide.bias"], ["hidden"], transB=1),
        helper.make_node("Transpose", ["tokens.weight"], ["head"]),
        helper.make_node("MatMul", ["hidden", "head"], ["logits"], "out"),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("tokens", TensorProto.INT64, ["n", "t"])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["rows", 200])],
        constants,
    )
    place = tmp_path_factory.mktemp("graph") / "model.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), place)
    return place


@pytest.mark.parametrize("precision", ERRORS)
def test_a_graph_is_close_smaller_and_the_same_bytes_every_time(
    path: Path, precision: Precision, tmp_path: Path
) -> None:
    model = prepared(path, precision)
    nodes = [layer.node for layer in layers(model, precision)]
    for name in ("one.onnx", "other.onnx"):
        quantise(model, tmp_path / name, precision, nodes, FEEDS)
    one = (tmp_path / "one.onnx").read_bytes()
    assert one == (tmp_path / "other.onnx").read_bytes()
    share = len(one) / len(model.SerializeToString())
    assert share < {"fp16": 0.55, "int8_weights": 0.75, "int4_weights": 0.7}.get(precision, 0.4)
    error = relative_error(outputs(one, FEEDS), outputs(path.read_bytes(), FEEDS))
    assert 0 < error < ERRORS[precision]


def test_layers_are_named_after_their_weights(path: Path) -> None:
    found = {layer.name: layer for layer in layers(prepared(path, "int8_static"), "int8_static")}
    assert set(found) == {"tokens", "mix", "wide", "out"} and found["mix"].shape == (64, 64, 3)
    assert {layer.name for layer in layers(prepared(path, "int4_weights"), "int4_weights")} == {"wide", "out"}


def test_a_tied_head_is_quantised_too(path: Path, tmp_path: Path) -> None:
    """Left as Transpose(embedding) it would be skipped."""
    model = prepared(path, "int4_weights")
    quantise(model, tmp_path / "q.onnx", "int4_weights", [layer.node for layer in layers(model, "int4_weights")])
    kinds = [node.op_type for node in onnx.load(tmp_path / "q.onnx").graph.node]
    assert kinds.count("MatMulNBits") == 2 and "MatMul" not in kinds


def test_nothing_but_the_named_nodes_changes(path: Path, tmp_path: Path) -> None:
    model = prepared(path, "int8_dynamic")
    (mix,) = (layer.node for layer in layers(model, "int8_dynamic") if layer.name == "mix")
    quantise(model, tmp_path / "q.onnx", "int8_dynamic", [mix])
    kinds = [node.op_type for node in onnx.load(tmp_path / "q.onnx").graph.node]
    assert kinds.count("ConvInteger") == 1 and kinds.count("MatMul") == 2 and "MatMulInteger" not in kinds


def test_a_precision_without_kernels_is_one_line(path: Path, tmp_path: Path) -> None:
    """ONNX Runtime's CPU has no products in bfloat16; the day it has, the graph is written."""
    model = prepared(path, "bf16")
    nodes = [layer.node for layer in layers(model, "bf16")]
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        return
    with pytest.raises(UsageError, match=r"^q.onnx: bf16: found no way to run it .* choose another precision$") as line:
        quantise(model, tmp_path / "q.onnx", "bf16", nodes)
    assert "\n" not in str(line.value) and not (tmp_path / "q.onnx").exists()


@pytest.mark.parametrize("precision", ["int8_static", "int8_weights"])
def test_every_layer_has_a_sensitivity(path: Path, precision: Precision) -> None:
    model = prepared(path, precision)
    chosen = layers(model, precision)
    found = sensitivities("model.onnx", model, precision, chosen, FEEDS)
    assert [one.layer for one in found] == chosen and all(0 < one.error < 0.05 for one in found)


def test_a_layer_with_an_outlier_is_the_most_sensitive(path: Path, tmp_path: Path) -> None:
    """One large weight per block, of an input that is always zero, takes the scale from all the others."""
    model = onnx.load(path)
    for name, place, factor in (("mix.weight", np.s_[::32], 0), ("wide.weight", np.s_[:, ::32], 100)):
        weights: Any = next(one for one in model.graph.initializer if one.name == name)
        value = numpy_helper.to_array(weights).copy()
        value[place] *= factor
        weights.CopyFrom(numpy_helper.from_array(value, name))
    onnx.save(model, tmp_path / "outlier.onnx")
    graph = prepared(tmp_path / "outlier.onnx", "int4_weights")
    found = sensitivities("m.onnx", graph, "int4_weights", layers(graph, "int4_weights"), FEEDS)
    assert max(found, key=lambda one: one.error).layer.name == "wide"
