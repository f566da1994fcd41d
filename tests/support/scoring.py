"""Tables for batch scoring: written, read, and what a predictor answers to their rows."""

import csv
import gzip
import json
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from roadmap.bundle import Bundle, load_predictor

PEOPLE: list[dict[str, Any]] = [
    {"id": "7", "class": "1st", "sex": "female", "age": "adult"},
    {"id": "8", "class": "3rd", "sex": "male", "age": None},
    {"id": "9", "class": "crew", "sex": "male", "age": "adult"},
]


def expected(artifacts: Path, project: str, requests: list[dict[str, Any]]) -> list[dict[str, Any]]:
    predictor = load_predictor(Bundle(artifacts / project / "bundle"))
    return [
        output.model_dump()
        for output in predictor.predict([predictor.Request.model_validate(request) for request in requests])
    ]


def people(rows: list[dict[str, Any]] = PEOPLE) -> list[dict[str, Any]]:
    return [{name: row[name] for name in ("class", "sex", "age")} for row in rows]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    """By the name's ending."""
    if ".parquet" in path.name:
        pq.write_table(pa.Table.from_pylist(rows), path)
        return path
    with gzip.open(path, "wt", newline="") if path.suffix == ".gz" else path.open("w", newline="") as file:
        if ".csv" in path.name:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)
        else:
            file.writelines(json.dumps(row) + "\n" for row in rows)
    return path


def read(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".parquet":
        return pq.read_table(path).to_pylist(maps_as_pydicts="strict")
    if path.suffix == ".csv":
        with path.open(newline="") as file:
            return list(csv.DictReader(file))
    return [json.loads(line) for line in path.read_text().splitlines()]


def many(path: Path, rows: int, note: str = "") -> Path:
    rng = random.Random(0)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["class", "sex", "age", "note"])
        for number in range(rows):
            bad = "x" * 300 if number % 700 == 3 else rng.choice(["adult", "child", ""])
            writer.writerow([rng.choice(["1st", "2nd", "3rd", "crew"]), rng.choice(["male", "female"]), bad, note])
    return path
