"""Batch scoring: every format in and out, and the types of its cells."""

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support import bundles
from tests.support.scoring import PEOPLE, expected, people, read, write


@pytest.mark.parametrize("output", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize("input", ["csv", "csv.gz", "jsonl", "jsonl.gz", "parquet"])
def test_every_format_gives_the_predictors_outputs(
    run: Callable[..., int], artifacts: Path, tmp_path: Path, input: str, output: str
) -> None:
    write(tmp_path / f"people.{input}", PEOPLE)
    assert run("project=titanic", f"input=people.{input}", f"output=scored.{output}") == 0
    answers = expected(artifacts, "titanic", people())
    rows = read(tmp_path / f"scored.{output}")
    assert [row["label"] for row in rows] == [answer["label"] for answer in answers]
    assert [float(row["probability"]) for row in rows] == [answer["probability"] for answer in answers]
    assert [{k: row[k] or None for k in PEOPLE[0]} for row in rows] == PEOPLE
    left = {path.name for path in tmp_path.iterdir()} - {f"people.{input}", f"scored.{output}"}
    assert not left


def test_text_is_converted_to_the_types_of_the_request(
    run: Callable[..., int], artifacts: Path, tmp_path: Path
) -> None:
    """Strict numbers from text, missing values from empty cells, and a district named 007 stays text."""
    rows = [
        {"area_m2": " 80.5", "rooms": "3", "age_years": "", "distance_km": "1e1", "district": "007"},
        {"area_m2": "+60", "rooms": "2.0", "age_years": "7", "distance_km": ".5", "district": "true"},
    ]
    write(tmp_path / "houses.csv", rows)
    assert run("project=house_prices", "input=houses.csv", "output=out.parquet") == 0
    known: list[dict[str, Any]] = [
        {"area_m2": 80.5, "rooms": 3.0, "age_years": None, "distance_km": 10.0, "district": "007"},
        {"area_m2": 60.0, "rooms": 2.0, "age_years": 7.0, "distance_km": 0.5, "district": "true"},
    ]
    answers = expected(artifacts, "house_prices", known)
    assert read(tmp_path / "out.parquet") == [{**k, **a} for k, a in zip(known, answers, strict=True)]
    assert pq.read_schema(tmp_path / "out.parquet").field("age_years").type == pa.float64()


def test_lists_in_csv_are_json_text(run: Callable[..., int], artifacts: Path, tmp_path: Path) -> None:
    images = [bundles.glyphs()[digit].tolist() for digit in (3, 7)]
    write(tmp_path / "digits.csv", [{"image": json.dumps(image)} for image in images])
    assert run("project=mnist", "input=digits.csv", "output=digits.parquet") == 0
    rows = read(tmp_path / "digits.parquet")
    assert [json.loads(row["image"]) for row in rows] == images and [row["digit"] for row in rows] == [3, 7]
    assert [row["probabilities"] for row in rows] == [
        answer["probabilities"] for answer in expected(artifacts, "mnist", [{"image": image} for image in images])
    ]
    assert run("project=mnist", "input=digits.csv", "output=digits.out.csv") == 0
    assert json.loads(read(tmp_path / "digits.out.csv")[0]["probabilities"]) == rows[0]["probabilities"]


def test_passed_through_parquet_columns_keep_their_type(run: Callable[..., int], tmp_path: Path) -> None:
    table = pa.table(
        {
            "when": pa.array([1, 2, 3], pa.timestamp("ns")),
            "took": pa.array([1, 2, 3], pa.duration("us")),
            "worth": pa.array([Decimal("1.50"), None, Decimal("2")], pa.decimal128(5, 2)),
            "picture": pa.array([b"\xff", b"", None]),
            "rooms": pa.array([1.0, float("nan"), None]),  # NaN is a gap
            "area_m2": pa.array([50, 60, 70], pa.int32()),
        }
    )
    pq.write_table(table, tmp_path / "houses.parquet")
    assert run("project=house_prices", "input=houses.parquet", "output=out.parquet") == 0
    assert pq.read_schema(tmp_path / "out.parquet").field("when").type == pa.timestamp("ns")
    assert run("project=house_prices", "input=houses.parquet", "output=out.jsonl") == 0
    rows = read(tmp_path / "out.jsonl")
    assert [row["rooms"] for row in rows] == [1.0, None, None]
    assert [rows[0][name] for name in ("took", "worth", "picture")] == [1, "1.50", "/w=="]


def test_a_name_in_input_and_output_and_a_table_without_the_inputs(run: Callable[..., int], tmp_path: Path) -> None:
    write(tmp_path / "people.csv", [{**row, "label": "mine"} for row in PEOPLE])
    assert run("project=titanic", "input=people.csv", "output=both.csv") == 0
    assert {row["label"] for row in read(tmp_path / "both.csv")} == {"mine"}
    assert {row["output_label"] for row in read(tmp_path / "both.csv")} == {"survived", "died"}
    assert run("project=titanic", "input=people.csv", "output=bare.csv", "keep=false") == 0
    assert [(row["row"], len(row)) for row in read(tmp_path / "bare.csv")] == [("1", 3), ("2", 3), ("3", 3)]
