"""Text projects: a weight per word, the alphabet, a dictionary, and vectors of six words."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from roadmap.bundle import Manifest, write_manifest
from tests.support.bundles.writing import write

WORDS = ["man", "woman", "king", "queen", "巴黎", "法国"]  # of word2vec
VECTORS = np.array([[1, 0, 0, 0], [0, 1, 0, 0], [1, 0, 2, 0], [0, 1, 2, 0], [0, 0.1, 0, 1], [0, 0, 0.1, 1]], np.float32)


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


def mini_gpt(folder: Path, project: str = "mini_gpt", template: str | None = None) -> Manifest:
    """Generates the alphabet: after each letter the next. Its cache is all zeros.

    template: of its conversations
    """
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
    schema = {"task": "corpus", "tokenizer": "char", "block": 32, "set": "own"}
    said = [{"role": "system", "content": "xyz"}, {"role": "user", "content": "abc"}]
    asked: dict[str, object] = {"messages": said} if template else {"prompt": "abc"}
    example = [{**asked, "max_tokens": 8, "temperature": 0.0}]
    assets = {"schema.json": schema, "tokenizer.json": tokenizer, "example.json": example}
    texts = {"chat_template.jinja": template} if template else {}
    return write(folder, project, graph, assets, source="the alphabet", model="decoder.onnx", texts=texts)


def chatbot(folder: Path) -> Manifest:
    """Answers with the letters that follow what was said last."""
    return mini_gpt(
        folder, "chatbot", "{% for message in messages if message.role != 'system' %}{{ message.content }}{% endfor %}"
    )


def translation(folder: Path) -> Manifest:
    """Translates word by word: number n is German, n + 5 the English for it. Each word looks at its own."""
    words = ("drei", "Hunde", "laufen", "schnell", "und", "three", "dogs", "run", "fast", "and")
    vocab = {name: i for i, name in enumerate(("<pad>", "<s>", "</s>", "<unk>", *(f"\u2581{word}" for word in words)))}
    spaces = {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always", "split": True}
    tokenizer = {
        "version": "1.0",
        "pre_tokenizer": spaces,
        "decoder": spaces,
        "model": {"type": "WordLevel", "vocab": vocab, "unk_token": "<unk>"},
        "added_tokens": [],
    }

    def tensor(name: str, *shape: str | int, kind: int = TensorProto.INT64) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, kind, shape)

    memory = [tensor("memory_0", "n"), tensor("memory_1", "n", "s"), tensor("state_0", "n")]  # lengths, source, place
    encoder = helper.make_graph(
        [
            helper.make_node("Identity", ["lengths"], ["memory_0"]),
            helper.make_node("Identity", ["source"], ["memory_1"]),
            helper.make_node("Sub", ["lengths", "lengths"], ["state_0"]),
        ],
        "hand_made",
        [tensor("source", "n", "s"), tensor("lengths", "n")],
        memory,
    )
    numbers = {"one": 1, "end": 2, "shift": 5, "depth": len(vocab), "axis": [1]}
    decoder = helper.make_graph(
        [
            helper.make_node("Gather", ["state_0", "parents"], ["place"]),
            helper.make_node("Sub", ["memory_0", "one"], ["last"]),
            helper.make_node("Min", ["place", "last"], ["inside"]),
            helper.make_node("Unsqueeze", ["inside", "axis"], ["column"]),
            helper.make_node("GatherElements", ["memory_1", "column"], ["word"], axis=1),
            helper.make_node("Squeeze", ["word", "axis"], ["german"]),
            helper.make_node("Add", ["german", "shift"], ["english"]),
            helper.make_node("Greater", ["place", "last"], ["over"]),
            helper.make_node("Where", ["over", "end", "english"], ["next"]),
            helper.make_node("OneHot", ["next", "depth", "chances"], ["log_probabilities"]),
            helper.make_node("Shape", ["memory_1"], ["width"], start=1),
            helper.make_node("OneHot", ["inside", "width", "weights"], ["attention"]),
            helper.make_node("Add", ["place", "one"], ["next_state_0"]),
            helper.make_node("Identity", ["tokens"], ["unused"]),
        ],
        "hand_made",
        [tensor("tokens", "n"), tensor("parents", "n"), *memory],
        [
            tensor("log_probabilities", "n", len(vocab), kind=TensorProto.FLOAT),
            tensor("attention", "n", "s", kind=TensorProto.FLOAT),
            tensor("next_state_0", "n"),
        ],
        [
            *(numpy_helper.from_array(np.array(value, np.int64), name) for name, value in numbers.items()),
            numpy_helper.from_array(np.array([-9, 0], np.float32), "chances"),
            numpy_helper.from_array(np.array([0, 1], np.float32), "weights"),
        ],
    )
    schema = {"task": "translation", "corpus": "own", "max_tokens": 16}
    example = [{"text": "drei Hunde laufen"}, {"text": "Hunde und Hunde"}]
    assets = {"schema.json": schema, "tokenizer.json": tokenizer, "example.json": example}
    manifest = write(folder, "translation", encoder, assets, source="five words", model="encoder.onnx")
    network = helper.make_model(decoder, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(network, folder / "decoder.onnx")
    return write_manifest(folder, **manifest.model_dump(exclude={"files"}))


def word2vec(folder: Path) -> Manifest:
    """Royalty is a direction of its own, so that the man is to the king as the woman is to the queen."""
    unit = VECTORS / np.linalg.norm(VECTORS, axis=1, keepdims=True)
    nodes = [
        helper.make_node("Gather", ["unit", "words"], ["each"]),
        helper.make_node("Unsqueeze", ["signs", "last"], ["signed"]),
        helper.make_node("Mul", ["each", "signed"], ["terms"]),
        helper.make_node("ReduceSum", ["terms", "first"], ["sum"], keepdims=0),
        helper.make_node("LpNormalization", ["sum"], ["directions"], axis=-1, p=2),
        helper.make_node("MatMul", ["directions", "turned"], ["cosines"]),
    ]
    arrays = {"unit": unit, "turned": unit.T.copy(), "last": np.array([2]), "first": np.array([1])}
    graph = helper.make_graph(
        nodes,
        "hand_made",
        [
            helper.make_tensor_value_info("words", TensorProto.INT64, ["n", "k"]),
            helper.make_tensor_value_info("signs", TensorProto.FLOAT, ["n", "k"]),
        ],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", None]) for name in ("cosines", "directions")],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    example = [{"task": "neighbours", "words": ["man"], "top": 2}] * 2
    places = [[0.0, 0.5], [0.1, 0.2], [0.3, 0.4]]
    files = {"example.json": example, "vocabulary.json": {"words": WORDS}, "map.json": {"places": places}}
    return write(folder, "word2vec", graph, {**files, "schema.json": {"task": "words"}}, source="six words")
