"""Two models that write the alphabet, and a reward model that counts tokens. Its rule knows none of these words."""

import json
import shutil
from pathlib import Path

import onnx
from onnx import TensorProto, helper

from roadmap.bundle import Manifest, write_manifest
from tests.support.bundles.text import mini_gpt


def rlhf(folder: Path) -> Manifest:
    manifest = mini_gpt(folder)
    shutil.copyfile(folder / "decoder.onnx", folder / "reference.onnx")
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["last"], ["rewards"], to=TensorProto.FLOAT),
            helper.make_node("Identity", ["tokens"], ["unused"]),
        ],
        "hand_made",
        [
            helper.make_tensor_value_info("tokens", TensorProto.INT64, ["n", "t"]),
            helper.make_tensor_value_info("last", TensorProto.INT64, ["n"]),
        ],
        [helper.make_tensor_value_info("rewards", TensorProto.FLOAT, ["n"])],
    )
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), folder / "reward.onnx"
    )
    schema = json.loads((folder / "schema.json").read_text()) | {"judge": None, "prompt": 3, "new": 8}
    (folder / "schema.json").write_text(json.dumps(schema))
    about = {"project": "rlhf", "predictor": "pipelines.rlhf.predict"}
    return write_manifest(folder, **manifest.model_dump(exclude={"files", "code_sha256"}) | about)
