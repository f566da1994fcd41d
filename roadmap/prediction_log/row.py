"""A logged prediction, and the interface of a log's storage."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Literal, NamedTuple, Protocol

from roadmap.io.documents import parse_json
from roadmap.io.json import JsonObject


class PredictionRecord(NamedTuple):
    time: datetime
    request_id: str
    project: str
    version: str
    profile: str
    input: str  # JSON
    output: str  # JSON
    seconds: float  # of the whole request


def content(row: PredictionRecord, field: Literal["input", "output"]) -> JsonObject:
    """A row's input or output.

    Raises:
        UsageError: it is no JSON object.
    """
    where = f"prediction log: request {row.request_id} at {row.time.isoformat()}: {field}"
    found: JsonObject = parse_json(getattr(row, field), where, JsonObject, "delete the row, or restore it")
    return found


class PredictionStore(Protocol):
    def write(self, rows: Sequence[PredictionRecord], batch: str | None = None) -> Sequence[PredictionRecord]:
        """Writes all rows or none, except those rejected for their content.

        Args:
            batch: name of the rows, for idempotence. If the log has all or part of this batch already, its rows
                are there once afterwards

        Returns:
            The rejected rows.
        """

    def read(self, project: str, since: datetime, until: datetime) -> Iterator[PredictionRecord]:
        """Those with since <= time < until, by time."""
