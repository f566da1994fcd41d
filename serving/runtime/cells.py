"""CSV for what is typed: text cells become what a request's fields ask for, answers become lines of text.

A cell of a list or an object holds JSON. An empty cell is a gap: the field's default. A cell that doesn't fit its field
stays text, so that the request's own type refuses it in its own words.
"""

import csv
import difflib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import chain
from typing import Any

from pydantic import BaseModel

INTEGER = re.compile(r"[+-]?[0-9]+")
NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
BOOLEANS = {"true": True, "false": False}
LARGEST = 16 * 2**20  # characters of a cell: what a quote that is never closed can swallow


class TableError(ValueError):
    """A header or a row that is no request."""


class Columns:
    """The fields of a request type as columns of a table."""

    def __init__(self, request: type[BaseModel]) -> None:
        schema = request.model_json_schema()
        self.kinds = {name: kinds(spec) for name, spec in schema["properties"].items()}
        self.names = list(self.kinds)
        self.required = [name for name in self.names if name in schema.get("required", [])]

    def header(self, cells: Sequence[str]) -> list[str]:
        """The names that a first line says.

        Raises:
            TableError: an unknown name, or one that stands there twice.
        """
        names = [cell.strip() for cell in cells]
        for name in names:
            if name not in self.kinds:
                near = difflib.get_close_matches(name, self.names, n=1)
                guess = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(self.names)}"
                raise TableError(f"the header: no column is named {name[:100]!r}; {guess}")
            if names.count(name) > 1:
                raise TableError(f"the header: the column {name!r} stands there twice")
        return names

    def fields(self, names: Sequence[str] | None, cells: Sequence[str]) -> dict[str, Any] | TableError:
        """A row as the request's fields. Without names the cells are all of them in order, or the required ones."""
        if names is None:
            names = self.required if len(cells) == len(self.required) else self.names
        if len(cells) != len(names):
            return TableError(f"has {len(cells)} values for the {len(names)} columns {', '.join(names)}")
        return {name: value(cell, self.kinds[name]) for name, cell in zip(names, cells, strict=True) if cell.strip()}


def kinds(schema: dict[str, Any]) -> frozenset[str]:
    """The JSON types that a field takes."""
    if "anyOf" in schema:
        return frozenset().union(*map(kinds, schema["anyOf"]))
    return frozenset([schema["type"]]) if "type" in schema else frozenset(["string", "array", "object"])


def value(cell: str, kinds: frozenset[str]) -> Any:
    """The cell as one of the JSON types; the text itself where it is none of them."""
    text = cell.strip()
    if kinds & {"array", "object"} and text[:1] in ("[", "{"):
        with suppress(ValueError, RecursionError):
            return json.loads(text)
    if "string" in kinds:
        return cell
    if "boolean" in kinds and text.lower() in BOOLEANS:
        return BOOLEANS[text.lower()]
    if kinds & {"integer", "number"} and NUMBER.fullmatch(text):
        with suppress(ValueError):  # more digits than Python reads
            number = int(text) if INTEGER.fullmatch(text) else float(text)
            return int(number) if "number" not in kinds and number == number // 1 else number
    return cell


def rows_from_csv(
    lines: Iterable[str], columns: Columns, header: bool | None = None
) -> Iterator[tuple[int, dict[str, Any] | TableError]]:
    """The rows as fields, or what is wrong with them, each with the number of its last line; empty lines are no rows.

    `header` says whether the first line names the columns; by default it does if it holds the name of one.

    Raises:
        TableError: of the header.
    """
    csv.field_size_limit(LARGEST)
    reader = csv.reader(lines, strict=True, skipinitialspace=True)
    rows = records(reader)
    first = next(rows, None)
    if first is None:
        return
    names: list[str] | None = None
    named = isinstance(first, list) and any(cell.strip() in columns.kinds for cell in first)
    if isinstance(first, list) and (named if header is None else header):
        names = columns.header(first)
    else:
        rows = chain([first], rows)
    for cells in rows:
        yield reader.line_num, columns.fields(names, cells) if isinstance(cells, list) else cells


def records(reader: Iterator[list[str]]) -> Iterator[list[str] | TableError]:
    """The rows of csv.reader; a TableError in place of one that is no CSV."""
    while True:
        try:
            if cells := next(reader):
                yield cells
        except StopIteration:
            return
        except csv.Error as error:
            yield TableError(f"is not CSV: {error}")


class Echo:
    """A file that gives back what is written to it."""

    def write(self, text: str) -> str:
        return text


def csv_from_rows(rows: Sequence[dict[str, Any]], header: bool = False) -> str:
    """A line for each; lists and objects are JSON."""
    writer = csv.writer(Echo())  # with CRLF at line ends: told of LF alone, it would leave a CR in a cell unquoted
    named = [list(rows[0])] if header and rows else []
    lines = (writer.writerow(cells) for cells in chain(named, (map(cell, row.values()) for row in rows)))
    return "".join(str(line).removesuffix("\r\n") + "\n" for line in lines)


def cell(value: Any) -> str:
    """One value of an answer as a cell: text as it is, the rest as JSON, nothing for null."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
