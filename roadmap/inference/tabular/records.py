"""Lines of a CSV as records: the one reader, for training and for every door that takes text.

Cells are separated by a comma, or by a semicolon, a tab or a bar where the names in the first line are. Blanks around a
cell, Windows' and old Mac's line ends and blank lines mean nothing. Cells that a record lacks at its end are empty. A
quote that is never closed, and more cells than the header has names, are faults of the record.
"""

import csv
import io
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from typing import NamedTuple

from roadmap.inference.tabular.values import clean

LARGEST = 32 * 2**20  # characters of a cell: what a quote that is never closed can swallow
DELIMITERS = (",", ";", "\t", "|")
HEADER = 100  # lines that a header may have, by line ends in quotes

csv.field_size_limit(LARGEST)


class BadLine(ValueError):
    """A line that is no text. Whoever gives the lines may raise it; the next line may be better."""


class Record(NamedTuple):
    line: int  # the last one
    cells: list[str]
    fault: str | None = None


def records(lines: Iterable[str], delimiter: str = ",") -> Iterator[Record]:
    """The records but blank lines; one that can't be read has a fault in place of its cells."""
    source = _Lines(lines)
    reader = csv.reader(source, delimiter=delimiter, skipinitialspace=True, strict=True)
    while True:
        begin = source.begin()
        try:
            cells = next(reader)
        except StopIteration:
            return
        except BadLine as error:
            yield Record(source.number, [], str(error))
        except csv.Error as error:
            mended = _without_blanks_behind_quotes("".join(source.taken), delimiter)
            if mended != "".join(source.taken):
                source.again(mended)
            else:
                yield Record(source.number, [], _said(error, begin))
        else:
            if len(cells) > 1 or (cells and cells[0].strip()):
                yield Record(source.number, cells)


class _Lines:
    """Lines, their number, and those that the record at hand has taken."""

    def __init__(self, lines: Iterable[str]) -> None:
        self.lines, self.number = iter(lines), 0
        self.taken: list[str] = []
        self.pending: deque[str] = deque()

    def begin(self) -> int:
        """The line where the next record begins."""
        self.taken.clear()
        return self.number + 1 - len(self.pending)

    def again(self, text: str) -> None:
        """What was taken, put right; it has its line ends where it had them."""
        self.number -= len(self.taken)
        self.pending.extend(io.StringIO(text, newline=""))

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        self.number += 1
        try:
            line = self.pending.popleft() if self.pending else next(self.lines)
        except StopIteration:
            self.number -= 1
            raise
        self.taken.append(line)
        return line


def _without_blanks_behind_quotes(text: str, delimiter: str) -> str:
    """The beginning of a record: "1st" , "female" as "1st", "female", for csv.reader refuses the blank."""
    found: list[str] = []
    state = "begin"  # of a cell; plain, quoted, or closed: behind the second quote
    for place, char in enumerate(text):
        if state == "closed" and char in " \t" and char != delimiter:
            continue
        if state == "closed" and char == '"' and text[place - 1] == '"':
            state = "quoted"  # it was the first of two, which are one
        elif state == "closed" and char not in (delimiter, "\r", "\n"):
            return "".join(found) + text[place:]
        elif state == "quoted":
            state = "closed" if char == '"' else "quoted"
        elif char == delimiter:
            state = "begin"
        elif state == "begin" and char != " ":
            state = "quoted" if char == '"' else "plain"
        found.append(char)
    return "".join(found)


def _said(error: Exception, line: int) -> str:
    if "unexpected end" in str(error):
        return f"is not CSV: a quote that opens in line {line} never closes"
    if "field larger" in str(error):
        return f"is not CSV: a cell from line {line} on is longer than {LARGEST:,} characters; is its quote closed?"
    return f"is not CSV: {error}"


def names_of(cells: Sequence[str]) -> list[str]:
    """The columns that a first line names. One without a name is called as pandas calls it."""
    return [clean(cell) or f"Unnamed: {place}" for place, cell in enumerate(cells)]


def delimiter_of(lines: Iterable[str], known: Collection[str], otherwise: str = ",") -> str:
    """What separates the cells: whatever finds most of the known names in the first of these lines."""
    first: list[str] = []
    with suppress(BadLine):
        first.extend(islice(lines, HEADER))

    def found(delimiter: str) -> int:
        record = next(records(first, delimiter), None)
        return len(set(known) & set(names_of(record.cells))) if record else 0

    return max((otherwise, *DELIMITERS), key=found)  # the first of equals


def fitted(cells: list[str], width: int) -> list[str] | str:
    """As many cells as the header has names, or what is wrong."""
    if any(cell.strip() for cell in cells[width:]):
        return f"has {len(cells)} cells where the header has {width}"
    return cells[:width] + [""] * (width - len(cells))


def shorter(cells: Sequence[str], width: int) -> str | None:
    """What is to be said of a record whose last cells are missing."""
    return f"has {len(cells)} cells where the header has {width}: the others are gaps" if len(cells) < width else None


def repeated(names: Sequence[str]) -> list[str]:
    """Names of several columns."""
    return sorted({name for name in names if names.count(name) > 1})
