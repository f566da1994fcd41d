"""A user's own CSV: read as every door reads it, its columns typed, or refused with file and row."""

import io
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from roadmap.inference.tabular.records import delimiter_of, fitted, names_of, records, repeated
from roadmap.inference.tabular.values import (
    BOOLEANS,
    GAPS,
    INFINITE,
    LARGEST,
    MAYBE_LEVELS,
    clean,
    number,
)
from roadmap.io.errors import UsageError, nearest, of_file
from roadmap.io.texts import decoded

FREQUENT = 0.05  # of the filled cells: a word like NA that is so frequent is a level
TYPICAL = 0.5  # or one that is so frequent beside the median of the other levels
MOSTLY = 0.5  # numbers in a column of text, from which on it is said which cell is none
FEWEST = 20  # rows


@dataclass(frozen=True)
class CsvTable:
    """Cells as text, clean but for the columns `raw`."""

    where: str  # the file, as messages name it
    columns: dict[str, list[str]]
    delimiter: str


@dataclass(frozen=True)
class TypedTable:
    """frame: numbers as float64, text as object with None for gaps; its index counts the rows of the file from 0."""

    where: str
    frame: pd.DataFrame
    reading: dict[str, Any]  # how text is read, for schema.json: `delimiter` and `gaps`
    notes: dict[str, str]  # column -> what is worth telling


def read(path: str | Path, known: Sequence[str], raw: Collection[str] = (), expected: Sequence[str] = ()) -> CsvTable:
    """The cells of a CSV that has the columns `known`, by which, or by the `expected` ones, the separator is found.

    Raises:
        UsageError: no such file, not UTF-8, empty, a header without these names or with one twice, a record that is
            no CSV or too long.
    """
    try:
        return parse(Path(path).read_bytes(), str(path), known, raw, expected)
    except OSError as error:
        raise UsageError(of_file(error)) from None


def parse(
    content: bytes, path: str, known: Sequence[str], raw: Collection[str] = (), expected: Sequence[str] = ()
) -> CsvTable:
    """As `read`, of a file's content; raises the same. path: as messages name it"""
    text = decoded(content, path)
    if not text.strip():
        raise UsageError(f"{path}: can't be read as CSV: found nothing; expected a header and rows")
    delimiter = delimiter_of(_lines(text), expected or known)
    rows = records(_lines(text), delimiter)
    header = next(rows)
    if header.fault:
        raise UsageError(f"{path}: line {header.line}: the header {header.fault}")
    names = names_of(header.cells)
    if twice := repeated(names):
        raise UsageError(f"{path}: line 1: column {', '.join(map(repr, twice))} appears more than once")
    for name in known:
        if name not in names:
            raise UsageError(f"{path}: line 1: no column {name!r}; {nearest(name, names)}")
    found: list[list[str]] = []
    short: list[int] = []
    for record in rows:
        cells = fitted(record.cells, len(names))
        if record.fault or isinstance(cells, str):
            raise UsageError(f"{path}: line {record.line}: {record.fault or cells}")
        if len(record.cells) < len(names):
            short.append(record.line)
        found.append(cells)
    if short:
        print(
            f"{path}: {len(short):,} rows are shorter than the header: their last cells are gaps, line {short[0]} first"
        )
    columns = dict(zip(names, map(list, zip(*found, strict=True)), strict=True)) if found else {n: [] for n in names}
    return CsvTable(
        where=path,
        columns={n: cells if n in raw else [clean(cell) for cell in cells] for n, cells in columns.items()},
        delimiter=delimiter,
    )


def _lines(text: str) -> io.StringIO:
    return io.StringIO(text, newline="")


def typed(table: CsvTable, target: str, gaps: Sequence[str] | None, raw: Collection[str] = ()) -> TypedTable:
    """The rows that have a target; how many have none is said.

    gaps: words that are gaps in every column; None for those of roadmap/inference/tabular/values.py, which are levels
        in a column of text where they are frequent

    Raises:
        UsageError: a number that is infinite or too large, too few rows, no column beside the target.
    """
    columns: dict[str, np.ndarray | list[str]] = {}
    notes: dict[str, str] = {}
    for name, cells in table.columns.items():
        if name in raw:
            columns[name] = cells
        else:
            columns[name], note = _column(table, name, gaps)
            notes |= {name: note} if note else {}
    frame = pd.DataFrame(columns)
    gone = frame[target].isna()
    if gone.any():
        first = int(gone.to_numpy().argmax())
        words = Counter(table.columns[target][row] or "empty" for row in np.flatnonzero(gone))
        counted = ", ".join(f"{count:,} {word}" for word, count in words.most_common(5))
        print(
            f"{table.where}: {gone.sum():,} rows without target {target!r} left out ({counted}), "
            f"the first data row {first + 1}"
        )
    frame = frame[~gone]
    if len(frame) < FEWEST:
        raise UsageError(f"{table.where}: {len(frame)} rows have a value in {target!r}; at least {FEWEST} are needed")
    if len(frame.columns) < 2:
        raise UsageError(f"{table.where}: has no column beside the target {target!r}")
    reading: dict[str, Any] = {"delimiter": table.delimiter, "gaps": list(GAPS if gaps is None else gaps)}
    return TypedTable(table.where, frame, reading, notes)


def _column(table: CsvTable, name: str, gaps: Sequence[str] | None) -> tuple[np.ndarray, str | None]:
    """Its values, and a note where it is text though most of its cells are numbers."""
    cells = table.columns[name]
    counts = Counter(cells)
    words = {"", *(GAPS if gaps is None else gaps)}
    known = {cell: count for cell, count in counts.items() if cell not in words}
    numbers = {cell: _number(cell, table.delimiter) for cell in known}
    rest = [cell for cell, value in numbers.items() if value is None]
    if not rest:
        values = np.array([numbers.get(cell, np.nan) for cell in cells], dtype=np.float64)
        far = np.flatnonzero(np.abs(values) > LARGEST)
        if len(far):
            raise UsageError(
                f"{table.where}: data row {far[0] + 1}: {name!r} is {cells[far[0]]!r}, infinite or beyond {LARGEST:g}; "
                "leave it empty"
            )
        return values, None
    if all(cell.lower() in BOOLEANS for cell in known):
        return np.array([BOOLEANS.get(cell.lower()) for cell in cells], dtype=object), None
    if gaps is None:
        words -= set(_frequent(counts, known))
    values = np.array([None if cell in words else cell for cell in cells], dtype=object)
    return values, _mostly_numbers(cells, known, rest)


def _number(cell: str, delimiter: str) -> float | None:
    return float(cell) if INFINITE.fullmatch(cell) else number(cell, delimiter)


def _frequent(counts: Counter[str], known: dict[str, int]) -> list[str]:
    """Words such as NA or None that are too frequent to be gaps of a column of text: a country, a class."""
    filled = sum(count for cell, count in counts.items() if cell)
    least = min(FREQUENT * filled, TYPICAL * float(np.median(list(known.values()))))
    return [word for word in MAYBE_LEVELS if counts[word] >= least and counts[word]]


def _mostly_numbers(cells: list[str], known: dict[str, int], rest: list[str]) -> str | None:
    """What stands in the way of a column of numbers."""
    filled = sum(known.values())
    others = sum(known[cell] for cell in rest)
    if others > (1 - MOSTLY) * filled:
        written = next((row for row, cell in enumerate(cells) if cell in known and _written(cell)), None)
        return None if written is None else f"data row {written + 1} has {cells[written]!r}; write plain numbers"
    first = next(row for row, cell in enumerate(cells) if cell in set(rest))
    remedy = "write plain numbers" if _written(cells[first]) else "mend it, or add it to data.gaps if it is a gap"
    found = f"{filled - others:,} of {filled:,} cells are numbers, but data row {first + 1} has {cells[first]!r}"
    return f"{found}; {remedy}"


def _written(cell: str) -> bool:
    """Whether it is a number with a currency, a percent sign or thousands: $1,234.50, 12%."""
    plain = cell.strip("$€£¥% ").replace(",", "").replace("\u00a0", "").replace(" ", "")
    return plain != cell and number(plain) is not None
