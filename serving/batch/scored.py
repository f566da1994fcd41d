"""What is written of a batch that has been answered: its columns and its values, whatever the format."""

import base64
import json
import math
from dataclasses import dataclass
from typing import Any, Protocol

from pydantic import BaseModel

from roadmap.io.json import JsonObject
from serving.batch.rows import InputRow, Position


@dataclass(frozen=True)
class Layout:
    """The columns of the output, in this order."""

    kept: list[str]  # of the input
    number: str | None  # instead of them, the number of the input's row
    outputs: dict[str, str]  # field of the response -> column

    @property
    def names(self) -> list[str]:
        """All columns, in their order."""
        return [*self.kept, *([self.number] if self.number else []), *self.outputs.values()]

    def record(self, row: InputRow, given: JsonObject, output: JsonObject) -> JsonObject:
        """A row of the output by column. given: the input's columns"""
        kept = {self.number: row.number} if self.number else given
        return kept | {name: output[field] for field, name in self.outputs.items()}


@dataclass
class Scored:
    """A batch that has been answered."""

    end: Position
    rows: list[InputRow]  # those that were
    requests: list[BaseModel]
    outputs: list[JsonObject]
    errors: list[JsonObject]  # of those that were not
    warnings: list[JsonObject]  # of those that were, all the same
    places: list[int]  # of `rows` in `table`
    table: Any = None  # the batch as Arrow holds it, from Parquet


class Sink(Protocol):
    """One part."""

    def write(self, scored: Scored) -> None:
        """Adds a batch."""

    def close(self) -> None:
        """Writes what is still held, and closes the file."""


def typed(row: InputRow, request: BaseModel) -> JsonObject:
    """A row of text with the numbers and lists that the request made of it."""
    known = request.model_dump(by_alias=True, exclude_unset=True)
    return {name: value if isinstance(known.get(name, ""), str) else known[name] for name, value in row.values.items()}


def text(value: object) -> str | None:
    """Strings as they are, the rest as JSON."""
    return value if value is None or isinstance(value, str) else dumps(value)


def dumps(value: object) -> str:
    """JSON; NaN and infinity become null, bytes base64."""
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
