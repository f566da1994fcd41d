"""Typed CSV: converts cells to the fields of a request, and responses to lines.

Lines are read by roadmap/inference/tabular, as training reads them. A cell of a list or an object holds JSON. An empty
cell is a gap: the field's default. A cell that doesn't fit its field stays text, so that the request's own type refuses
it in its own words.
"""

import csv
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import chain, islice

from pydantic import BaseModel

from roadmap.inference.tabular.records import HEADER, Record, delimiter_of, fitted, names_of, records, repeated
from roadmap.inference.tabular.values import clean, number
from roadmap.io.errors import nearest
from roadmap.io.json import JsonObject

INTEGER = re.compile(r"[+-]?[0-9]+")
NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
BOOLEANS = {"true": True, "false": False}


class TableError(ValueError):
    """An invalid header or row."""


class Columns:
    """The fields of a request type as columns of a table.

    Of a table's request the schema says how training read its text (roadmap/inference/tabular): which words are gaps,
    what separates cells, which other columns the training file had.
    """

    def __init__(self, request: type[BaseModel]) -> None:
        schema = request.model_json_schema()
        self.kinds = {name: kinds(spec) for name, spec in schema["properties"].items()}
        self.names = list(self.kinds)
        self.required = [name for name in self.names if name in schema.get("required", [])]
        self.tabular = "x-gaps" in schema
        self.gaps = frozenset(schema.get("x-gaps", ()))
        self.delimiter: str = schema.get("x-delimiter", ",")
        self.left_out: list[str] = schema.get("x-left-out", [])

    def header(self, cells: Sequence[str]) -> list[str]:
        """The column names of a header.

        Raises:
            TableError: a name that neither a request nor the training file has, or one that appears twice.
        """
        names = names_of(cells)
        for name in names:
            if name not in self.kinds and name not in self.left_out:
                raise TableError(f"the header: no column is named {name[:100]!r}; {nearest(name[:100], self.names)}")
        if twice := repeated(names):
            raise TableError(f"the header: the column {twice[0]!r} appears twice")
        return names

    def fields(
        self, names: Sequence[str] | None, cells: Sequence[str], delimiter: str = ","
    ) -> JsonObject | TableError:
        """A row as the request's fields. Without names the cells are all of them in order, or the required ones."""
        if names is None:
            names = self.required if len(cells) == len(self.required) else self.names
            if len(cells) != len(names):
                return TableError(f"has {len(cells)} values for the {len(names)} columns {', '.join(names)}")
        row = fitted(list(cells), len(names))
        if isinstance(row, str):
            return TableError(row)
        return self.request(dict(zip(names, row, strict=True)), delimiter)

    def request(self, row: Mapping[str, str | None], delimiter: str = ",") -> JsonObject:
        """The fields that a row of text says, by column. An empty cell is no value: of a table null, else not given."""
        given = ((name, row[name] or "") for name in self.names if name in row)
        return {name: self.value(name, cell, delimiter) for name, cell in given if self.tabular or cell.strip()}

    def value(self, name: str, cell: str, delimiter: str = ",") -> object:
        """A cell of this column as JSON has it. A table's texts go as they are: the request reads them itself."""
        if not self.tabular:
            return value(cell, self.kinds[name])
        text = clean(cell)
        if "string" in self.kinds[name]:
            return cell
        if not text or text in self.gaps:
            return None
        return cell if (found := number(text, delimiter)) is None else found


def kinds(schema: JsonObject) -> frozenset[str]:
    """The JSON types that a field accepts."""
    if "anyOf" in schema:
        return frozenset().union(*map(kinds, schema["anyOf"]))
    return frozenset([schema["type"]]) if "type" in schema else frozenset(["string", "array", "object"])


def value(cell: str, kinds: frozenset[str]) -> object:
    """The cell as one of the JSON types, or else as text."""
    text = cell.strip()
    if kinds & {"array", "object"} and text[:1] in ("[", "{"):
        with suppress(ValueError, RecursionError):
            return json.loads(text)
    if "string" in kinds:
        return cell
    if "boolean" in kinds and text.lower() in BOOLEANS:
        return BOOLEANS[text.lower()]
    if kinds & {"integer", "number"} and NUMBER.fullmatch(text):
        with suppress(ValueError):  # more digits than Python parses
            number = int(text) if INTEGER.fullmatch(text) else float(text)
            return int(number) if "number" not in kinds and number == number // 1 else number
    return cell


def rows_from_csv(
    lines: Iterable[str], columns: Columns, header: bool | None = None
) -> Iterator[tuple[int, JsonObject | TableError]]:
    """The rows as fields, or their error, each with the number of its last line; empty lines are skipped.

    `header` says whether the first line names the columns; by default it does if it holds the name of one.

    Raises:
        TableError: of the header.
    """
    lines = iter(lines)
    begin = list(islice(lines, HEADER))
    delimiter = delimiter_of(begin, columns.names, columns.delimiter)
    cells, usual = _first(begin, delimiter), _first(begin, ",")
    if not {*names_of(cells)} & {*columns.names} and len(cells) != len(columns.names) == len(usual):
        delimiter = ","  # there is no header, and commas fit
    rows = records(chain(begin, lines), delimiter)
    first = next(rows, None)
    if first is None:
        return
    names: list[str] | None = None
    named = any(name in columns.kinds for name in names_of(first.cells))
    if not first.fault and (named if header is None else header):
        names = columns.header(first.cells)
    else:
        rows = chain([first], rows)
    for line, cells, fault in rows:
        yield line, TableError(fault) if fault else columns.fields(names, cells, delimiter)


def _first(lines: Sequence[str], delimiter: str) -> list[str]:
    """Cells of the first record."""
    return next(records(lines, delimiter), Record(0, [])).cells


class Echo:
    """A file-like object whose `write` returns its argument."""

    def write(self, text: str) -> str:
        """The text."""
        return text


def csv_from_rows(rows: Sequence[JsonObject], header: bool = False) -> str:
    """One line per row; lists and objects are JSON."""
    writer = csv.writer(Echo())  # with CRLF line ends: with LF alone, a CR within a cell would not be quoted
    named = [list(rows[0])] if header and rows else []
    lines = (writer.writerow(cells) for cells in chain(named, (map(cell, row.values()) for row in rows)))
    return "".join(str(line).removesuffix("\r\n") + "\n" for line in lines)


def cell(value: object) -> str:
    """One value of a response as a cell: text unchanged, other types as JSON, empty for null."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
