"""Tiny bundles for the real predictors: hand-written graphs, no training, no torch."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from pipelines.house_prices.predict import features as house_prices_features
from pipelines.stocks.predict.features import HISTORY, STEPS
from pipelines.titanic.predict import features as titanic_features
from roadmap.bundle import MANIFEST, Manifest, write_manifest
from roadmap.inference.tabular.features import Columns, Features, from_rows

# (class, sex, age) -> share of survivors, rounded from the published table.
SURVIVORS = {
    ("1st", "male", "adult"): 0.33,
    ("1st", "female", "adult"): 0.97,
    ("2nd", "male", "adult"): 0.08,
    ("2nd", "female", "adult"): 0.86,
    ("2nd", "male", "child"): 0.95,
    ("3rd", "male", "adult"): 0.16,
    ("3rd", "female", "adult"): 0.46,
    ("3rd", "male", "child"): 0.27,
    ("3rd", "female", "child"): 0.45,
    ("crew", "male", "adult"): 0.22,
    ("crew", "female", "adult"): 0.87,
}
DISTRICTS = {"old town": 120.0, "harbour": 60.0, "hills": 90.0, "suburb": 0.0}
# The digits of the public-domain font8x8: eight bytes each, a byte per row, the lowest bit on the left.
FONT = (
    "3e63737b6f673e00 0c0e0c0c0c0c3f00 1e33301c06333f00 1e33301c30331e00 383c36337f307800 "
    "3f031f3030331e00 1c06031f33331e00 3f3330180c0c0c00 1e33331e33331e00 1e33333e30180e00"
)


def titanic(folder: Path) -> Manifest:
    rows = [{"class": cls, "sex": sex, "age": age} for cls, sex, age in SURVIVORS]
    share = np.array(list(SURVIVORS.values()))
    schema = {"task": "binary", "target": "survived", "classes": ["died", "survived"]}
    assets, weights, bias = _table(rows, np.log(share / (1 - share)), titanic_features.derive, schema)
    nodes = [helper.make_node("Sigmoid", ["scores"], ["y"])]
    return write(folder, "titanic", _dense(weights, bias, nodes, scores="scores"), assets, source="eleven rates")


def house_prices(folder: Path) -> Manifest:
    rng = np.random.default_rng(0)
    rows: list[dict[str, Any]] = [
        {
            "area_m2": round(rng.uniform(25, 200), 1),
            "rooms": float(rng.integers(1, 7)),
            "age_years": float(rng.integers(0, 80)),
            "distance_km": round(rng.uniform(0, 20), 1),
            "district": str(rng.choice(list(DISTRICTS))),
        }
        for _ in range(200)
    ]
    worth = {"area_m2": 4.2, "rooms": 18.0, "age_years": -1.5, "distance_km": -9.0}
    prices = np.array([150 + DISTRICTS[row["district"]] + sum(row[k] * v for k, v in worth.items()) for row in rows])
    schema = {"task": "regression", "target": "price"}
    assets, weights, bias = _table(rows, prices, house_prices_features.derive, schema)
    return write(folder, "house_prices", _dense(weights, bias, scores="y"), assets, source="a formula")


def mnist(folder: Path) -> Manifest:
    """The nearest letterform: argmax over x.t - |t|^2/2 is the digit whose form t is closest to x."""
    digits = glyphs() / 255
    nodes = [helper.make_node("Flatten", ["x"], ["flat"])]
    graph = _dense(digits.reshape(10, 64).T, -(digits**2).sum((1, 2)) / 2, nodes, x="flat", scores="y")
    schema = {"task": "images", "size": 8, "target": "digit", "classes": list("0123456789")}
    example = [{"image": glyphs()[digit].tolist()} for digit in (3, 7)]
    return write(folder, "mnist", graph, {"schema.json": schema, "example.json": example}, source="font8x8")


def cifar10(folder: Path) -> Manifest:
    """Predicts the dominant colour."""
    size, colours = 8, ["red", "green", "blue"]
    nodes = [
        helper.make_node("Cast", ["x"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["float"], ["mean"], axes=[1, 2], keepdims=0),
        helper.make_node("Mul", ["mean", "scale"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "hand_made",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, ["n", size, size, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])],
        [numpy_helper.from_array(np.array(0.05, np.float32), "scale")],
    )
    example = [{"image": np.full((size, size, 3), colour).tolist()} for colour in ([200, 40, 40], [40, 40, 200])]
    schema = {"task": "images", "target": "label", "size": size, "classes": colours}
    assets = {"schema.json": schema, "example.json": example}
    return write(folder, "cifar10", graph, assets, source="paint")


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


def stocks(folder: Path) -> Manifest:
    """A random walk: quantiles as wide as the volatility times the root of the days."""
    days, levels = [1, 5, 20], [0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975]
    normal = np.array([-1.96, -1.282, -0.674, 0.0, 0.674, 1.282, 1.96])
    nodes = [
        helper.make_node("Unsqueeze", ["scale", "axes"], ["wide"]),
        helper.make_node("Mul", ["wide", "quantiles"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "hand_made",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", STEPS, 4]),
            helper.make_tensor_value_info("scale", TensorProto.FLOAT, ["n"]),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", len(days), len(levels)])],
        [
            numpy_helper.from_array((np.sqrt(days)[:, None] * normal).astype(np.float32), "quantiles"),
            numpy_helper.from_array(np.array([1, 2], np.int64), "axes"),
        ],
    )
    returns = np.random.default_rng(0).normal(0, 0.01, (2, HISTORY))
    closes = np.round(100 * np.exp(np.cumsum(returns, axis=1)), 4)
    example = [{"symbol": f"WALK{i}", "close": close.tolist()} for i, close in enumerate(closes)]
    assets = {"schema.json": {"task": "series", "horizons": days, "quantiles": levels}, "example.json": example}
    return write(folder, "stocks", graph, assets, source="a random walk")


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


Maker = Callable[[Path], Manifest]
MAKERS: dict[str, Maker] = {"titanic": titanic, "house_prices": house_prices, "mnist": mnist}
ALL: dict[str, Maker] = {**MAKERS, "cifar10": cifar10, "imdb": imdb, "stocks": stocks, "mini_gpt": mini_gpt}


def make_all(artifacts: Path, makers: dict[str, Maker] = MAKERS) -> Path:
    """artifacts/<project>/bundle for all of them."""
    for project, maker in makers.items():
        maker(artifacts / project / "bundle")
    return artifacts


def glyphs() -> np.ndarray:
    """-> int64 [10, 8, 8] of 0 and 255"""
    rows = np.array([list(bytes.fromhex(digit)) for digit in FONT.split()], dtype=np.uint8)
    return np.unpackbits(rows[..., None], axis=-1, bitorder="little").astype(np.int64) * 255


def write(
    folder: Path,
    project: str,
    graph: onnx.GraphProto,
    assets: dict[str, Any],
    *,
    source: str,
    predictor: str = "",
    model: str = "model.onnx",
) -> Manifest:
    """Writes graph and assets as a bundle."""
    folder.mkdir(parents=True)
    network = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(network)
    onnx.save(network, folder / model)
    for name, content in assets.items():
        (folder / name).write_text(json.dumps(content) + "\n")
    return write_manifest(
        folder,
        project=project,
        predictor=predictor or f"pipelines.{project}.predict",
        profile="sample",
        source=source,
        created="2026-11-24T07:00:00+00:00",
        git_commit="0" * 40,
        data_sha256="1" * 64,
        params_sha256="2" * 64,
        run="3" * 32,
    )


def another(folder: Path, note: str = "another") -> Manifest:
    """Makes the bundle another version: the same model with other content."""
    manifest = Manifest.model_validate_json((folder / MANIFEST).read_bytes())
    (folder / "note.json").write_text(json.dumps(note))
    return write_manifest(folder, **manifest.model_dump(exclude={"files"}))


def _table(
    rows: list[dict[str, Any]], target: np.ndarray, derive: Callable[[Columns], Columns], schema: dict[str, Any]
) -> tuple[dict[str, Any], np.ndarray, np.ndarray]:
    """Fits features on the rows and a linear map on those: assets, weights [d, 1], bias [1]."""
    columns: dict[str, Any] = {}
    for name, value in rows[0].items():
        values = [row[name] for row in rows]
        number = isinstance(value, float)
        columns[name] = (
            {"kind": "number", "min": min(values), "max": max(values)}
            if number
            else {"kind": "category", "levels": sorted(set(values))}
        )
    table = derive(from_rows(rows, {name: spec["kind"] for name, spec in columns.items()}))
    features = Features.fit(table)
    x = features.transform(table).astype(np.float64)
    fitted = np.linalg.lstsq(np.column_stack([x, np.ones(len(x))]), target, rcond=None)[0]
    assets = {
        "schema.json": {**schema, "columns": columns},
        "features.json": features.to_json(),
        "example.json": rows[:2],
    }
    return assets, fitted[:-1, None], fitted[-1:]


def _dense(
    weights: np.ndarray, bias: np.ndarray, nodes: list[onnx.NodeProto] | None = None, *, x: str = "x", scores: str
) -> onnx.GraphProto:
    """x -> y through scores = x @ weights + bias; `nodes` come before it (if they compute x) or after it."""
    initializers = [
        numpy_helper.from_array(weights.astype(np.float32), "weights"),
        numpy_helper.from_array(bias.astype(np.float32), "bias"),
    ]
    single = weights.shape[1] == 1
    dense = [helper.make_node("Gemm", [x, "weights", "bias"], ["wide" if single else scores])]
    if single:  # [n, 1] -> [n], what the tabular predictors expect
        initializers.append(numpy_helper.from_array(np.array([1], dtype=np.int64), "axis"))
        dense.append(helper.make_node("Squeeze", ["wide", "axis"], [scores]))
    before, after = (nodes or [], []) if x != "x" else ([], nodes or [])
    size = int(np.sqrt(weights.shape[0]))
    shape: list[str | int] = ["n", 1, size, size] if x != "x" else ["n", weights.shape[0]]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n"] if single else ["n", weights.shape[1]])]
    return helper.make_graph([*before, *dense, *after], "hand_made", inputs, outputs, initializers)
