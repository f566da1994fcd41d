"""A training file gives the same values at every entry point as in training."""

import asyncio
import csv
import io
import lzma
import os
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel
from starlette.requests import Request

from roadmap.data.splits import PreparedData
from roadmap.data.tables import prepare_csv
from roadmap.data.tabular import requests as prepared_requests
from roadmap.inference.tabular import request_model
from roadmap.inference.tabular.records import fitted, records
from serving.batch.requests import Requests
from serving.batch.rows import Position
from serving.batch.text_source import CsvSource
from serving.http import forms
from serving.runtime.cells import Columns, rows_from_csv

ROWS = 40
GAPS = ["", "NA", "null", "NaN", "None", "<NA>", "n/a"]
LEVELS = [
    "red", "dark blue", "Grün", 'say "hi"', "a, b", "x;y", "two\nlines", "two\r\nlines",
    "1st", "None", "NA", "true", "007", "3",
]  # fmt: skip
NUMBERS = ["1", "-2", "+3", "4.5", ".5", "1e3", "7.", "1E-2", "0012", "100000000000000000000"]


@st.composite
def files(draw: st.DrawFn) -> bytes:
    """A training file in one of many dialects."""
    random: Random = draw(st.randoms(use_true_random=False))
    delimiter, end = random.choice(",,;\t"), random.choice(["\n", "\r\n", "\r"])
    numbers = random.sample(NUMBERS, 5) + random.sample(GAPS, random.randrange(3))
    if delimiter != ",":
        numbers = [number.replace(".", ",") for number in numbers]
    levels = random.sample(LEVELS, random.randrange(2, 6)) + random.sample(GAPS, random.randrange(3))
    truths = random.choice([["true", "false"], ["TRUE", "False"], ["True", "False", "NA"]])
    lines = [delimiter.join(["weight", " size", '"the ""kind""" ', "ok ", "price"])]
    for row in range(ROWS):
        picked = [random.choice(numbers), random.choice(levels), truths[row % len(truths)]]
        cells = [decorated(random, cell, delimiter) for cell in [str(row * 7 % 41 * 3), *picked, str(row % 13 * 2)]]
        lines.append(delimiter.join(cells) + delimiter * (random.random() < 0.1))
        lines += [random.choice(["", "   "])] * (random.random() < 0.1)
    return (random.choice(["", "\ufeff"]) + end.join(lines) + random.choice(["", end])).encode()


def decorated(random: Random, cell: str, delimiter: str) -> str:
    """The same cell, possibly quoted or padded with blanks."""
    before, behind = (random.choice(["", "", "", " ", "  "]) for _ in "ab")
    must = any(char in cell for char in f'{delimiter}"\n\r')
    quoted = '"' + cell.replace('"', '""') + '"' if must or random.random() < 0.3 else cell
    return before + quoted + behind + ("" if delimiter == "\t" else random.choice(["", "", "\t"]))


def key(row: dict[str, Any]) -> float:
    return float(row["weight"])


def learnt(prepared: PreparedData) -> dict[float, dict[str, Any]]:
    """The values that training has of each row, by its key."""
    return {key(row): row for part in prepared.splits.values() for row in prepared_requests(part, prepared.schema)}


def through_batch(path: Path, request: type[BaseModel], size: int) -> Iterator[dict[str, Any]]:
    """Resumed after each batch, like a job that was killed there."""
    columns, at = Columns(request), Position()
    source = CsvSource(path, columns.names, columns.delimiter)
    requests_ = Requests(request, columns, "csv", source.delimiter)
    while batch := next(iter(source.batches(at, size)), None):
        for row in batch.rows:
            assert row.fault is None
            yield requests_.parse(row.values).model_dump(by_alias=True)
        at = batch.end


def through_invocations(text: str, request: type[BaseModel]) -> Iterator[dict[str, Any]]:
    for _, fields in rows_from_csv(io.StringIO(text, newline=""), Columns(request)):
        assert isinstance(fields, dict), fields
        yield request.model_validate(fields).model_dump(by_alias=True)


def through_form(text: str, prepared: PreparedData, request: type[BaseModel], kind: str) -> Iterator[dict[str, Any]]:
    """Each row of the file as a form with all its cells, target and ignored columns included."""
    delimiter = prepared.schema["reading"]["delimiter"]
    names, *rows = records(io.StringIO(text, newline=""), delimiter)
    columns = Columns(request)
    for row in rows:
        cells = list(zip(names.cells, fitted(row.cells, len(names.cells)), strict=True))
        if kind == "urlencoded":
            sent = httpx2.Request("POST", "http://any", data=dict(cells))
        else:
            sent = httpx2.Request("POST", "http://any", files=[(name, (None, cell)) for name, cell in cells])
        (fields,) = asyncio.run(forms.read(received(sent), columns, frozenset()))
        yield request.model_validate(fields).model_dump(by_alias=True)


def received(sent: httpx2.Request) -> Request:
    headers = [(name.lower(), value) for name, value in sent.headers.raw]

    async def receive() -> Any:
        return {"type": "http.request", "body": sent.read()}

    return Request({"type": "http", "method": "POST", "headers": headers}, receive)


def through_json(rows: dict[float, dict[str, Any]], request: type[BaseModel]) -> Iterator[dict[str, Any]]:
    for row in rows.values():
        yield request.model_validate(row).model_dump(by_alias=True)


@settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
@given(content=files(), size=st.integers(1, 50))
def test_a_messy_training_file_is_read_alike_at_every_entry_point(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, size: int
) -> None:
    path = tmp_path_factory.mktemp("messy") / "mine.csv"
    path.write_bytes(content)
    prepared = prepare_csv(str(path), "price", "regression", (0.6, 0.2, 0.2), seed=1)
    assert {"weight", "ok"} <= set(prepared.schema["columns"]) and prepared.schema["target"] == "price"
    assert same_at_every_door(path, prepared, size) == ROWS


def same_at_every_door(path: Path, prepared: PreparedData, size: int) -> int:
    """Checks all rows against training; returns their number."""
    request = request_model("mine", prepared.schema, {})
    known = learnt(prepared)
    text = path.read_bytes().decode("utf-8-sig")
    doors = {
        "batch": through_batch(path, request, size),
        "invocations": through_invocations(text, request),
        "json": through_json(known, request),
        "form": through_form(text, prepared, request, "multipart"),
        "urlencoded form": through_form(text, prepared, request, "urlencoded"),
    }
    for door, rows in doors.items():
        assert {key(row): row for row in rows} == known, door
    return len(known)


# ---------------------------------------------------------------- the smallest inputs of what went wrong


def prepare(folder: Path, text: str, task: Any = "binary", target: str = "y", **options: Any) -> Any:
    path = folder / "mine.csv"
    path.write_bytes(text.encode())
    return path, prepare_csv(str(path), target, task, (0.6, 0.2, 0.2), 1, **options)


def requests_(path: Path, prepared: PreparedData) -> list[dict[str, Any]]:
    request = request_model("mine", prepared.schema, {})
    rows = list(through_batch(path, request, 7))
    assert rows == list(through_invocations(path.read_text(), request))
    return rows


FILES = {
    "a blank behind the comma": ("class, sex, y", lambda i: f"1st, {'female' if i % 2 else 'male'}, {i % 3 % 2}"),
    "a blank in the header": ("n ,y", lambda i: f"{i % 7},{i % 2}"),
    "truth values": ("ok,n,y", lambda i: f"{str(i % 2 == 0).lower()},{i % 7},{i % 2}"),
    "NA for a gap": ("n,y", lambda i: f"{'NA' if i % 5 == 0 else i % 7},{i % 2}"),
    "a gap of a category": ("kind,n,y", lambda i: f"{'ab'[i % 2] if i % 5 else ''},{i % 7},{i % 2}"),
    "short rows": ("n,y,kind", lambda i: f"{i % 7},{i % 2}" + f",{'ab'[i % 2]}" * (i % 5 > 0)),
    "a comma too many": ("n,y", lambda i: f"{i % 7},{i % 2},"),
    "decimal commas": ("n;y", lambda i: f"{i % 7},5;{i % 2}"),
    "an index without a name": (",n,y", lambda i: f"{i},{i % 7},{i % 2}"),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_minimal_files_that_were_scored_wrongly(tmp_path: Path, name: str) -> None:
    header, row = FILES[name]
    path, prepared = prepare(tmp_path, "\n".join([header, *(row(i) for i in range(60))]) + "\n")
    rows, columns = requests_(path, prepared), list(prepared.schema["columns"])
    trained = [tuple(one[name] for name in columns) for part in prepared.splits.values() for one in
               prepared_requests(part, prepared.schema)]  # fmt: skip
    by_door = [tuple(one[name] for name in columns) for one in rows]
    assert sorted(map(repr, by_door)) == sorted(map(repr, trained))
    assert len(rows) == 60 and columns


def test_json_booleans_are_accepted_too(tmp_path: Path) -> None:
    _, prepared = prepare(tmp_path, "ok,n,y\n" + "".join(f"{i % 2 == 0},{i % 7},{i % 2}\n" for i in range(60)))
    request = request_model("mine", prepared.schema, {})
    for message in (True, "true", "TRUE", " True "):
        assert request.model_validate({"ok": message}).model_dump(by_alias=True)["ok"] == "True"


@pytest.mark.parametrize(("share", "is_level"), [(3, True), (10, True), (50, False)])
def test_a_frequent_na_is_a_level(tmp_path: Path, share: int, is_level: bool) -> None:
    lands = ("NA" if i % share == 0 else ["DE", "FR"][i % 2] for i in range(200))
    text = "land,n,y\n" + "".join(f"{land},{i % 7},{i % 2}\n" for i, land in enumerate(lands))
    path, prepared = prepare(tmp_path, text)
    assert ("NA" in prepared.schema["columns"]["land"]["levels"]) == is_level
    assert requests_(path, prepared)[0]["land"] == ("NA" if is_level else None)
    path, prepared = prepare(tmp_path, text, gaps=["DE"])
    assert prepared.schema["columns"]["land"]["levels"] == ["FR", "NA"]
    assert [row["land"] for row in requests_(path, prepared)[:3]] == ["NA", "FR", None]


def test_columns_that_are_not_learnt_from_are_ignored(tmp_path: Path) -> None:
    path, prepared = prepare(tmp_path, "id,n,y\n" + "".join(f"{i},{i % 7},{i % 2}\n" for i in range(60)))
    assert list(prepared.schema["columns"]) == ["n"] and "id" in prepared.schema["ignored"]
    assert list(requests_(path, prepared)[1]) == ["n"]


@pytest.mark.parametrize("body", ["1,5;2;\n", "1.5,2,\n", "b;n;k\n2;1,5;\n", "n,b,k\n1.5,2,NA\n", '"1.5" , 2 ,\n'])
def test_a_body_may_have_another_separator_than_the_training_file(tmp_path: Path, body: str) -> None:
    rows = "".join(f"{i % 7},5;{i % 5};{'ab'[i % 2] * (i % 3 > 0)};{i % 2}\n" for i in range(60))
    _, prepared = prepare(tmp_path, f"n;b;k;y\n{rows}")
    request = request_model("mine", prepared.schema, {})
    assert list(through_invocations(body, request)) == [{"n": 1.5, "b": 2.0, "k": None}]


# ---------------------------------------------------------------- real files

REAL = {
    "winequality-red.csv": ("quality", "regression", 11),
    "titanic_train_crlf.csv": ("Survived", "binary", 7),
    "bike_sharing_hour.csv.xz": ("cnt", "regression", 14),
    "SeoulBikeData.csv.xz": ("Rented Bike Count", "regression", 12),
}


@pytest.mark.slow
@pytest.mark.mirror
@pytest.mark.parametrize("name", REAL)
def test_real_files_are_read_alike_at_every_entry_point(tmp_path: Path, name: str) -> None:
    target, task, columns = REAL[name]
    source = Path(os.environ["DATA_MIRROR"]) / "tables" / name
    path = tmp_path / "mine.csv"
    content = lzma.decompress(source.read_bytes()) if name.endswith(".xz") else source.read_bytes()
    path.write_bytes(content.replace(b"\xb0C", "°C".encode()))  # Seoul's degrees are Latin-1
    prepared = prepare_csv(str(path), target, task, (0.7, 0.15, 0.15), seed=1)  # type: ignore[arg-type]
    assert len(prepared.schema["columns"]) == columns, prepared.schema["ignored"]
    names = list(prepared.schema["columns"])
    trained = [
        tuple(row[name] for name in names)
        for part in prepared.splits.values()
        for row in prepared_requests(part, prepared.schema)
    ]
    rows = [tuple(row[name] for name in names) for row in requests_(path, prepared)]
    assert sorted(map(repr, rows)) == sorted(map(repr, trained))
    with io.StringIO(path.read_text(encoding="utf-8-sig"), newline="") as text:
        assert len(rows) == sum(1 for row in csv.reader(text)) - 1
