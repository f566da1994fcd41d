"""Tabular projects: linear models."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from onnx import helper

from pipelines.house_prices.predict import features as house_prices_features
from pipelines.titanic.predict import features as titanic_features
from roadmap.bundle import Manifest
from roadmap.inference.tabular.features import Columns, Features, from_rows
from tests.support.bundles.layers import dense
from tests.support.bundles.writing import write

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


def titanic(folder: Path, opposite: bool = False) -> Manifest:
    """opposite: it predicts the survivors to have died"""
    rows = [{"class": cls, "sex": sex, "age": age} for cls, sex, age in SURVIVORS]
    share = np.array(list(SURVIVORS.values()))
    share = 1 - share if opposite else share
    schema = {"task": "binary", "target": "survived", "classes": ["died", "survived"]}
    assets, weights, bias = _table(rows, np.log(share / (1 - share)), titanic_features.derive, schema)
    nodes = [helper.make_node("Sigmoid", ["scores"], ["y"])]
    return write(folder, "titanic", dense(weights, bias, nodes, scores="scores"), assets, source="eleven rates")


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
    return write(folder, "house_prices", dense(weights, bias, scores="y"), assets, source="a formula")


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
