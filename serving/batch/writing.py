"""Answers into files: a part for every so many rows, and the parts as one file in the end."""

import base64
import json
import math
import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pydantic import BaseModel

from serving.batch.reading import Position, Row
from serving.runtime.cells import csv_from_rows


@dataclass(frozen=True)
class Layout:
    """The columns of the output, in this order."""

    kept: list[str]  # of the input
    number: str | None  # instead of them, the number of the input's row
    outputs: dict[str, str]  # field of the response -> column

    @property
    def names(self) -> list[str]:
        return [*self.kept, *([self.number] if self.number else []), *self.outputs.values()]

    def record(self, row: Row, given: dict[str, Any], output: dict[str, Any]) -> dict[str, Any]:
        kept = {self.number: row.number} if self.number else given
        return kept | {name: output[field] for field, name in self.outputs.items()}


@dataclass
class Scored:
    """A batch that has been answered."""

    end: Position
    rows: list[Row]  # those that were
    requests: list[BaseModel]
    outputs: list[dict[str, Any]]
    errors: list[dict[str, Any]]  # of those that were not
    places: list[int]  # of `rows` in `table`
    table: Any = None  # the batch as Arrow holds it, from Parquet


class Sink(Protocol):
    """One part."""

    def write(self, scored: Scored) -> None: ...

    def close(self) -> None: ...


class JsonLinesSink:
    def __init__(self, path: Path, layout: Layout, from_text: bool) -> None:
        self.file, self.layout, self.from_text = path.open("w", encoding="utf-8"), layout, from_text

    def write(self, scored: Scored) -> None:
        for row, request, output in zip(scored.rows, scored.requests, scored.outputs, strict=True):
            given = typed(row, request) if self.from_text else row.values
            self.file.write(dumps(self.layout.record(row, given, output)) + "\n")

    def close(self) -> None:
        self.file.close()


def typed(row: Row, request: BaseModel) -> dict[str, Any]:
    """A row of text with the numbers and lists that the request made of it."""
    known = request.model_dump(by_alias=True, exclude_unset=True)
    return {name: value if isinstance(known.get(name, ""), str) else known[name] for name, value in row.values.items()}


class CsvSink:
    def __init__(self, path: Path, layout: Layout) -> None:
        self.file, self.layout = path.open("w", encoding="utf-8", newline=""), layout

    def write(self, scored: Scored) -> None:
        layout, names = self.layout, self.layout.names
        rows = zip(scored.rows, scored.outputs, strict=True)
        records = (layout.record(row, row.values, output) for row, output in rows)
        self.file.write(csv_from_rows([{name: text(record.get(name)) for name in names} for record in records]))

    def close(self) -> None:
        self.file.close()


def text(value: Any) -> str | None:
    """Strings as they are, the rest as JSON."""
    return value if value is None or isinstance(value, str) else dumps(value)


def join(parts: Iterable[Path], target: Path, header: list[str] | None = None) -> None:
    """Texts one behind the other."""
    with target.open("wb") as file:
        if header is not None:
            file.write(csv_from_rows([dict.fromkeys(header)], header=True).partition("\n")[0].encode() + b"\n")
        for part in parts:
            with part.open("rb") as source:
                shutil.copyfileobj(source, file, 2**20)


def dumps(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, default=_default)
    except ValueError:
        return json.dumps(_finite(value), ensure_ascii=False, default=_default)


def _finite(value: Any) -> Any:
    """JSON has no NaN and no infinity."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {name: _finite(one) for name, one in value.items()}
    return [_finite(one) for one in value] if isinstance(value, list) else value


def _default(value: Any) -> str:
    return base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)


def sync(path: Path) -> None:
    """On the disk, so that a state that is written next never promises what a power cut has taken."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
