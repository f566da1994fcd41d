"""Text projects: a weight per word, and the alphabet."""

from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from roadmap.bundle import Manifest
from tests.support.bundles.writing import write


def imdb(folder: Path) -> Manifest:
    """A weight per word, which is its contribution at any position."""
    weights = {"[PAD]": 0.0, "[UNK]": 0.0, "the": 0.1, "wonderful": 2.0, "good": 1.0, "silly": -1.5, "bad": -2.0}
    words = {"type": "WordLevel", "vocab": {word: i for i, word in enumerate(weights)}, "unk_token": "[UNK]"}
    tokenizer = {
        "version": "1.0",
        "normalizer": {"type": "Lowercase"},
        "pre_tokenizer": {"type": "Whitespace"},
        "model": words,
        "added_tokens": [],
    }
    nodes = [
        helper.make_node("Gather", ["weights", "tokens"], ["contributions"]),
        helper.make_node("ReduceSum", ["contributions", "axis"], ["logit"], keepdims=0),
        helper.make_node("Identity", ["lengths"], ["unused"]),
    ]
    graph = helper.make_graph(
        nodes,
        "hand_made",
        [
            helper.make_tensor_value_info("tokens", TensorProto.INT32, ["n", "t"]),
            helper.make_tensor_value_info("lengths", TensorProto.INT64, ["n"]),
        ],
        [
            helper.make_tensor_value_info("logit", TensorProto.FLOAT, ["n"]),
            helper.make_tensor_value_info("contributions", TensorProto.FLOAT, ["n", "t"]),
        ],
        [
            numpy_helper.from_array(np.array(list(weights.values()), np.float32), "weights"),
            numpy_helper.from_array(np.array([1], np.int64), "axis"),
        ],
    )
    schema = {"task": "text", "target": "label", "classes": ["negative", "positive"], "max_tokens": 128}
    example = [{"text": "The plot is wonderful."}, {"text": "A silly film."}]
    assets = {"schema.json": schema, "tokenizer.json": tokenizer, "example.json": example}
    return write(folder, "imdb", graph, assets, source="seven words")


def mini_gpt(folder: Path) -> Manifest:
    """Generates the alphabet: after each letter the next. Its cache is all zeros."""
    letters = "abcdefghijklmnopqrstuvwxyz "
    after = 9 * np.roll(np.eye(len(letters)), 1, axis=1)
    vocab = {letter: i for i, letter in enumerate(letters)}
    tokenizer = {
        "version": "1.0",
        "pre_tokenizer": {"type": "Split", "pattern": {"Regex": "."}, "behavior": "Isolated", "invert": False},
        "decoder": {"type": "Fuse"},
        "model": {"type": "WordLevel", "vocab": vocab, "unk_token": " "},
        "added_tokens": [],
    }
    nodes = [
        helper.make_node("Gather", ["after", "tokens"], ["logits"]),
        helper.make_node("Gather", ["zeros", "tokens"], ["nothing"]),
        helper.make_node("Unsqueeze", ["nothing", "axis"], ["slots"]),
        helper.make_node("Concat", ["past", "slots"], ["present"], axis=2),
        helper.make_node("Identity", ["padding"], ["unused"]),
    ]
    graph = helper.make_graph(
        nodes,
        "hand_made",
        [
            helper.make_tensor_value_info("tokens", TensorProto.INT64, ["n", "t"]),
            helper.make_tensor_value_info("padding", TensorProto.INT64, ["n"]),
            helper.make_tensor_value_info("past", TensorProto.FLOAT, ["n", 1, "slots", 1]),
        ],
        [
            helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", "t", len(letters)]),
            helper.make_tensor_value_info("present", TensorProto.FLOAT, ["n", 1, "all", 1]),
        ],
        [
            numpy_helper.from_array(after.astype(np.float32), "after"),
            numpy_helper.from_array(np.zeros((len(letters), 1), np.float32), "zeros"),
            numpy_helper.from_array(np.array([1], np.int64), "axis"),
        ],
    )
    schema = {"task": "corpus", "tokenizer": "char", "block": 32}
    example = [{"prompt": "abc", "max_tokens": 8, "temperature": 0.0}]
    assets = {"schema.json": schema, "tokenizer.json": tokenizer, "example.json": example}
    return write(folder, "mini_gpt", graph, assets, source="the alphabet", model="decoder.onnx")
