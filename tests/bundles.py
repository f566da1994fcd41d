"""Tiny sealed bundles for the real predictors: graphs written by hand, no training, no torch."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from pipelines.common.features import Columns, Features, from_rows
from pipelines.house_prices import features as house_prices_features
from pipelines.titanic import features as titanic_features
from serving.bundle import Manifest, seal

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


MAKERS: dict[str, Callable[[Path], Manifest]] = {"titanic": titanic, "house_prices": house_prices, "mnist": mnist}


def make_all(artifacts: Path) -> Path:
    """artifacts/<project>/bundle for all of them."""
    for project, maker in MAKERS.items():
        maker(artifacts / project / "bundle")
    return artifacts


def glyphs() -> np.ndarray:
    """-> int64 [10, 8, 8] of 0 and 255"""
    rows = np.array([list(bytes.fromhex(digit)) for digit in FONT.split()], dtype=np.uint8)
    return np.unpackbits(rows[..., None], axis=-1, bitorder="little").astype(np.int64) * 255


def write(
    folder: Path, project: str, graph: onnx.GraphProto, assets: dict[str, Any], *, source: str, predictor: str = ""
) -> Manifest:
    """Graph and assets as a sealed bundle."""
    folder.mkdir(parents=True)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, folder / "model.onnx")
    for name, content in assets.items():
        (folder / name).write_text(json.dumps(content) + "\n")
    return seal(
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
    """x -> y through scores = x @ weights + bias; `nodes` stand before it (if they make x) or after it."""
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
    shape = ["n", 1, size, size] if x != "x" else ["n", weights.shape[0]]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n"] if single else ["n", weights.shape[1]])]
    return helper.make_graph([*before, *dense, *after], "hand_made", inputs, outputs, initializers)
