"""What every format gives: rows with their numbers, in batches, and where to go on."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol


class Damaged(Exception):
    """A file that cannot be read to its end."""


class Position(NamedTuple):
    """The end of what has been read."""

    row: int = 0
    line: int = 0
    offset: int = 0  # bytes of the unpacked text, rows of Parquet


@dataclass
class InputRow:
    """A row of the input, or why there is none."""

    number: int  # from 1, the header not counted
    line: int | None  # of a text file, where the row ends
    values: dict[str, Any] = field(default_factory=dict)
    fault: str | None = None  # why there are no values
    raw: Any = None  # what stands there instead
    warning: str | None = None  # what is odd about the values


@dataclass
class RowBatch:
    """Rows in a file's order, and where to go on behind them."""

    rows: list[InputRow]
    end: Position
    table: Any = None  # the same rows as Arrow holds them, from Parquet


class RowSource(Protocol):
    format: str  # csv, jsonl, parquet
    delimiter: str  # of the cells of a CSV
    columns: list[str]  # in their order; of JSON Lines, those of the first rows
    size: int  # what `done` reaches at the end

    def batches(self, start: Position, size: int) -> Iterator[RowBatch]:
        """
        Raises:
            Damaged: the file can't be read on.
        """

    def done(self, at: Position) -> int:
        """How much of `size` that is."""
