"""Rows out of text files, CSV and JSON Lines, a batch at a time, from any position on."""

import gzip
import json
import zlib
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import IO

from roadmap.inference.tabular.records import (
    BadLine,
    Record,
    delimiter_of,
    fitted,
    names_of,
    records,
    repeated,
    shorter,
)
from roadmap.io.errors import UsageError
from serving.batch.rows import Damaged, InputRow, Position, RowBatch

MAX_LINE = 32 * 2**20  # bytes; a longer one is refused, so that a file without line ends cannot fill the memory
UNPACKING = (EOFError, gzip.BadGzipFile, zlib.error)  # what gzip raises at a damaged file
PEEK = 1000  # rows that are looked at to know the fields of JSON Lines


class TextSource(ABC):
    """A file of lines, plain or gzip."""

    format: str
    columns: list[str]
    delimiter = ","
    cr = False  # whether CR alone ends a line

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = path.stat().st_size
        self.packed: IO[bytes] | None = None

    def open(self) -> IO[bytes]:
        """The file, unpacked."""
        self.packed = self.path.open("rb")
        return gzip.GzipFile(fileobj=self.packed) if self.path.suffix.lower() == ".gz" else self.packed  # type: ignore[return-value]

    def done(self, at: Position) -> int:
        """Of a gzip file, what has been unpacked, read ahead included."""
        packed = self.path.suffix.lower() == ".gz" and self.packed is not None and not self.packed.closed
        return self.packed.tell() if packed and self.packed else min(at.offset, self.size)

    def batches(self, start: Position, size: int) -> Iterator[RowBatch]:
        """Up to `size` rows each, from `start` on. Raises: Damaged: the file can't be read on."""
        try:
            with self.open() as file:
                lines = Lines(file, start, self.cr)
                rows = self.rows(lines, start)
                while batch := list(islice(rows, size)):
                    yield RowBatch(batch, Position(batch[-1].number, lines.number, lines.offset))
        except UNPACKING as error:
            raise Damaged(f"{self.path}: is damaged: {error}") from None

    @abstractmethod
    def rows(self, lines: "Lines", start: Position) -> Iterator[InputRow]:
        """The rows from `start` on, each with its number."""


class Lines:
    """The lines of a file as text. After a `BadLine` it goes on with the next one."""

    def __init__(self, file: IO[bytes], start: Position, cr: bool) -> None:
        self.cr = cr
        self.file, self.number, self.offset = file, start.line, start.offset
        self.pieces: deque[bytes] = deque()
        self.rest = b""
        file.seek(start.offset)

    def __iter__(self) -> "Lines":
        return self

    def __next__(self) -> str:
        content, length = self._next()
        first, self.number, self.offset = self.offset == 0, self.number + 1, self.offset + length
        if length > len(content):
            raise BadLine(f"the line is longer than {MAX_LINE // 2**20} MiB")
        try:
            return content.decode("utf-8-sig" if first else "utf-8")
        except UnicodeDecodeError as error:
            raise BadLine(f"is not UTF-8 text ({error.reason} at byte {error.start} of the line)") from None

    def _next(self) -> tuple[bytes, int]:
        """A line up to LF, CRLF or, as old Macs have it, CR alone; and how long it is, of which MAX_LINE are kept."""
        if not self.pieces:
            content = self.rest + self.file.readline(MAX_LINE)
            if not content:
                raise StopIteration
            self.rest = b""
            if len(content) >= MAX_LINE and not content.endswith(b"\n"):  # no LF in sight
                cut = content.rfind(b"\r", 0, -1) + 1 if self.cr else 0
                if not cut:
                    return self._overlong(content)
                content, self.rest = content[:cut], content[cut:]
            self.pieces.extend(content.splitlines(keepends=True) if self.cr else [content])
        piece = self.pieces.popleft()
        return piece, len(piece)

    def _overlong(self, content: bytes) -> tuple[bytes, int]:
        length, more = len(content), content
        while more and not more.endswith(b"\n"):
            more = self.file.readline(MAX_LINE)
            length += len(more)
        return content, length


class CsvSource(TextSource):
    """A CSV with a header, read as training reads one.

    Raises:
        UsageError: no header, one that can't be read, or two columns of one name.
    """

    format = "csv"
    cr = True

    def __init__(self, path: Path, known: Sequence[str], delimiter: str = ",") -> None:
        """known: columns, which tell what separates the cells; delimiter: where none of them is there"""
        super().__init__(path)
        try:
            with self.open() as file:
                self.delimiter = delimiter_of(Lines(file, Position(), self.cr), known, delimiter)
            with self.open() as file:
                lines = Lines(file, Position(), self.cr)
                header = next(records(lines, self.delimiter), Record(1, []))
                self.first = Position(0, lines.number, lines.offset)
        except (BadLine, *UNPACKING) as error:
            raise UsageError(f"{path}: its header can't be read: {error}; expected CSV in UTF-8") from None
        if header.fault:
            raise UsageError(f"{path}: its header can't be read: {header.fault}")
        self.columns = names_of(header.cells)
        if not self.columns:
            raise UsageError(f"{path}: is empty; the first line should name the columns")
        if twice := repeated(self.columns):
            raise UsageError(f"{path}: line 1: column {', '.join(map(repr, twice))} appears more than once")

    def batches(self, start: Position, size: int) -> Iterator[RowBatch]:
        """The same, behind the header."""
        return super().batches(max(start, self.first), size)

    def rows(self, lines: Lines, start: Position) -> Iterator[InputRow]:
        """A row per record; one with too many or too few cells has a fault or a warning."""
        for number, record in enumerate(records(lines, self.delimiter), start.row + 1):
            cells = record.fault or fitted(record.cells, len(self.columns))
            if isinstance(cells, str):
                yield InputRow(number, lines.number, fault=cells, raw=record.cells or None)
            else:
                values = {name: cell or None for name, cell in zip(self.columns, cells, strict=True)}
                yield InputRow(number, lines.number, values, warning=shorter(record.cells, len(self.columns)))


class JsonLinesSource(TextSource):
    """An object a line."""

    format = "jsonl"

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        first = next(iter(self.batches(Position(), PEEK)), RowBatch([], Position()))
        self.columns = list(dict.fromkeys(name for row in first.rows for name in row.values))

    def rows(self, lines: Lines, start: Position) -> Iterator[InputRow]:
        """A row per line that isn't blank; one that is no JSON object has a fault."""
        number = start.row
        while True:
            try:
                line = next(lines)
            except StopIteration:
                return
            except BadLine as error:
                number += 1
                yield InputRow(number, lines.number, fault=str(error))
                continue
            if not line.strip():
                continue
            number += 1
            try:
                found = json.loads(line, parse_constant=no_constant)
                if "\\ud" in line.lower():  # half a surrogate pair is valid in JSON, and has no UTF-8
                    json.dumps(found, ensure_ascii=False).encode()
            except (ValueError, RecursionError) as error:
                yield InputRow(number, lines.number, fault=f"is not JSON: {error}", raw=line.rstrip("\r\n"))
                continue
            if isinstance(found, dict):
                yield InputRow(number, lines.number, found)
            else:
                yield InputRow(number, lines.number, fault="should be a JSON object", raw=found)


def no_constant(name: str) -> None:
    """Raises: ValueError: NaN and infinities are no JSON."""
    raise ValueError(f"{name} is not a JSON number")
