"""Rows out of files, a batch at a time, from any position on."""

import csv
import gzip
import json
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import IO, Any, NamedTuple, Protocol

FORMATS = (".csv", ".csv.gz", ".jsonl", ".jsonl.gz", ".parquet")
MAX_LINE = 32 * 2**20  # bytes; a longer one is refused, so that a file without line ends cannot fill the memory
UNPACKING = (EOFError, gzip.BadGzipFile, zlib.error)  # what gzip raises at a damaged file
PEEK = 1000  # rows that are looked at to know the fields of JSON Lines


class UsageError(Exception):
    """Something the caller can put right."""


class Damaged(Exception):
    """A file that cannot be read to its end."""


class Position(NamedTuple):
    """The end of what has been read."""

    row: int = 0
    line: int = 0
    offset: int = 0  # bytes of the unpacked text, rows of Parquet


@dataclass
class Row:
    number: int  # from 1, the header not counted
    line: int | None  # of a text file, where the row ends
    values: dict[str, Any] = field(default_factory=dict)
    fault: str | None = None  # why there are no values
    raw: Any = None  # what stands there instead


@dataclass
class Batch:
    rows: list[Row]
    end: Position
    table: Any = None  # the same rows as Arrow holds them, from Parquet


class Source(Protocol):
    format: str  # csv, jsonl, parquet
    columns: list[str]  # in their order; of JSON Lines, those of the first rows
    size: int  # what `done` reaches at the end

    def batches(self, start: Position, size: int) -> Iterator[Batch]:
        """
        Raises:
            Damaged: the file can't be read on.
        """

    def done(self, at: Position) -> int: ...


def extension(path: Path, allowed: tuple[str, ...] = FORMATS) -> str:
    """
    Raises:
        UsageError: a file whose name says no known format.
    """
    for known in allowed:
        if path.name.lower().endswith(known):
            return known
    raise UsageError(f"{path}: cannot tell the format by the name; it should end in {', '.join(allowed)}")


def open_source(path: Path) -> Source:
    """
    Raises:
        UsageError: no such file, unknown format, no header, no Parquet.
    """
    kind = extension(path)
    if not path.is_file():
        raise UsageError(f"{path}: {'is a folder' if path.is_dir() else 'no such file'}")
    if kind == ".parquet":
        from serving.batch.parquet import ParquetSource

        return ParquetSource(path)
    return Csv(path) if kind.startswith(".csv") else JsonLines(path)


class TextSource(ABC):
    """A file of lines, plain or gzip."""

    format: str
    columns: list[str]

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = path.stat().st_size
        self.packed: IO[bytes] | None = None

    def open(self) -> IO[bytes]:
        self.packed = self.path.open("rb")
        return gzip.GzipFile(fileobj=self.packed) if self.path.suffix.lower() == ".gz" else self.packed  # type: ignore[return-value]

    def done(self, at: Position) -> int:
        """Of a gzip file, what has been unpacked, read ahead included."""
        packed = self.path.suffix.lower() == ".gz" and self.packed is not None and not self.packed.closed
        return self.packed.tell() if packed and self.packed else min(at.offset, self.size)

    def batches(self, start: Position, size: int) -> Iterator[Batch]:
        try:
            with self.open() as file:
                lines = Lines(file, start)
                rows = self.rows(lines, start)
                while batch := list(islice(rows, size)):
                    yield Batch(batch, Position(batch[-1].number, lines.number, lines.offset))
        except UNPACKING as error:
            raise Damaged(f"{self.path}: is damaged: {error}") from None

    @abstractmethod
    def rows(self, lines: "Lines", start: Position) -> Iterator[Row]:
        """The rows from `start` on, each with its number."""


class BadLine(ValueError):
    """A line that is no text."""


class Lines:
    """The lines of a file as text. After a `BadLine` it goes on with the next one."""

    def __init__(self, file: IO[bytes], start: Position) -> None:
        self.file, self.number, self.offset = file, start.line, start.offset
        file.seek(start.offset)

    def __iter__(self) -> "Lines":
        return self

    def __next__(self) -> str:
        content = self.file.readline(MAX_LINE)
        if not content:
            raise StopIteration
        whole, length = content, len(content)
        while len(content) == MAX_LINE and not content.endswith(b"\n"):
            content = self.file.readline(MAX_LINE)
            length += len(content)
        first, self.number, self.offset = self.offset == 0, self.number + 1, self.offset + length
        if length > len(whole):
            raise BadLine(f"the line is longer than {MAX_LINE // 2**20} MiB")
        try:
            return whole.decode("utf-8-sig" if first else "utf-8")
        except UnicodeDecodeError as error:
            raise BadLine(f"is not UTF-8 text ({error.reason} at byte {error.start} of the line)") from None


class Csv(TextSource):
    format = "csv"

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        csv.field_size_limit(MAX_LINE)
        try:
            with self.open() as file:
                lines = Lines(file, Position())
                header = next(csv.reader(lines, strict=True), [])
                self.first = Position(0, lines.number, lines.offset)
        except (csv.Error, BadLine, *UNPACKING) as error:
            raise UsageError(f"{path}: its header can't be read: {error}") from None
        self.columns = [name.strip() for name in header]
        if not header:
            raise UsageError(f"{path}: is empty; the first line should name the columns")
        if twice := sorted({name for name in self.columns if self.columns.count(name) > 1}):
            raise UsageError(f"{path}: line 1: column {', '.join(map(repr, twice))} appears more than once")

    def batches(self, start: Position, size: int) -> Iterator[Batch]:
        return super().batches(max(start, self.first), size)

    def rows(self, lines: Lines, start: Position) -> Iterator[Row]:
        reader, number = csv.reader(lines, strict=True), start.row
        while True:
            try:
                cells = next(reader)
            except StopIteration:
                return
            except (csv.Error, BadLine) as error:
                number += 1
                yield Row(number, lines.number, fault=str(error))
                continue
            if not cells:  # a blank line
                continue
            number += 1
            if len(cells) != len(self.columns):
                said = f"has {len(cells)} cells where the header has {len(self.columns)}"
                yield Row(number, lines.number, fault=said, raw=cells)
            else:
                values = {name: cell or None for name, cell in zip(self.columns, cells, strict=True)}
                yield Row(number, lines.number, values)


class JsonLines(TextSource):
    format = "jsonl"

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        first = next(iter(self.batches(Position(), PEEK)), Batch([], Position()))
        self.columns = list(dict.fromkeys(name for row in first.rows for name in row.values))

    def rows(self, lines: Lines, start: Position) -> Iterator[Row]:
        number = start.row
        while True:
            try:
                line = next(lines)
            except StopIteration:
                return
            except BadLine as error:
                number += 1
                yield Row(number, lines.number, fault=str(error))
                continue
            if not line.strip():
                continue
            number += 1
            try:
                found = json.loads(line, parse_constant=no_constant)
                if "\\ud" in line.lower():  # half a surrogate pair is valid in JSON, and has no UTF-8
                    json.dumps(found, ensure_ascii=False).encode()
            except (ValueError, RecursionError) as error:
                yield Row(number, lines.number, fault=f"is not JSON: {error}", raw=line.rstrip("\r\n"))
                continue
            if isinstance(found, dict):
                yield Row(number, lines.number, found)
            else:
                yield Row(number, lines.number, fault="should be a JSON object", raw=found)


def no_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")
