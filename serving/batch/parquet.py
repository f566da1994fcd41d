"""Parquet: the one format of the three that needs pyarrow, and columns of one type."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import BaseModel

from roadmap.io.errors import UsageError
from roadmap.io.json import JsonObject
from serving.batch.rows import Damaged, InputRow, Position, RowBatch, RowSource
from serving.batch.scored import Layout, Scored, text, typed
from serving.runtime.cells import kinds

GROUP = 16 * 2**20  # bytes of a row group
SCALARS = {"string": pa.string(), "integer": pa.int64(), "number": pa.float64(), "boolean": pa.bool_()}


class ParquetSource:
    """Raises: UsageError: the file is no Parquet, or has two columns of one name."""

    format = "parquet"
    delimiter = ","

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.file = pq.ParquetFile(path)
        except pa.ArrowInvalid as error:
            raise UsageError(f"{path}: can't be read as Parquet: {error}") from None
        self.schema = self.file.schema_arrow
        self.columns = list(self.schema.names)
        if twice := sorted({name for name in self.columns if self.columns.count(name) > 1}):
            raise UsageError(f"{path}: column {', '.join(map(repr, twice))} appears more than once")
        self.size = self.file.metadata.num_rows

    def done(self, at: Position) -> int:
        """Rows."""
        return at.offset

    def batches(self, start: Position, size: int) -> Iterator[RowBatch]:
        """All of `size` rows but the last, however the file cuts its row groups. Raises: Damaged."""
        row, pending = start.offset, None
        try:
            for piece in self._from(row, size):
                pending = pa.concat_tables([pending, piece]) if pending else piece
                while len(pending) >= size:
                    yield self._batch(pending.slice(0, size), row)
                    pending, row = pending.slice(size), row + size
        except (OSError, pa.ArrowInvalid) as error:
            raise Damaged(f"{self.path}: is damaged: {error}") from None
        if pending:
            yield self._batch(pending, row)

    def _from(self, row: int, size: int) -> Iterator[pa.Table]:
        group, metadata = 0, self.file.metadata
        while group < metadata.num_row_groups and metadata.row_group(group).num_rows <= row:
            row -= metadata.row_group(group).num_rows
            group += 1
        groups = list(range(group, metadata.num_row_groups))
        for batch in self.file.iter_batches(size, row_groups=groups):
            if row < len(batch):
                yield pa.Table.from_batches([batch.slice(row)])
            row = max(0, row - len(batch))

    def _batch(self, table: pa.Table, before: int) -> RowBatch:
        rows = pa.table({name: _plain(table[name]) for name in self.columns}).to_pylist(maps_as_pydicts="lossy")
        numbered = [InputRow(before + place, None, values) for place, values in enumerate(rows, 1)]
        end = before + len(table)
        return RowBatch(numbered, Position(end, 0, end), table)


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """What JSON can hold: NaN, by which many tools mean a gap, becomes one; times and decimals become text."""
    if pa.types.is_floating(column.type):
        return pc.if_else(pc.is_nan(column), None, column)
    if pa.types.is_duration(column.type):
        return column.cast(pa.int64())
    if pa.types.is_temporal(column.type) or pa.types.is_decimal(column.type):
        return column.cast(pa.string())
    return column


class ParquetSink:
    """A part: one row group, or several where rows are large."""

    def __init__(self, path: Path, layout: Layout, schema: pa.Schema) -> None:
        self.layout, self.schema = layout, schema
        self.writer = pq.ParquetWriter(path, schema)
        self.batches: list[pa.Table] = []

    def write(self, scored: Scored) -> None:
        """Adds a batch; the row group is written once it has GROUP bytes."""
        if scored.table is not None:
            kept = scored.table.take(scored.places)
            columns = {name: kept[name] for name in self.layout.kept}
        else:
            rows = [typed(row, request) for row, request in zip(scored.rows, scored.requests, strict=True)]
            columns = {name: self._array(name, [row.get(name) for row in rows]) for name in self.layout.kept}
        if self.layout.number:
            columns[self.layout.number] = self._array(self.layout.number, [row.number for row in scored.rows])
        for field, name in self.layout.outputs.items():
            columns[name] = self._array(name, [output[field] for output in scored.outputs])
        self.batches.append(pa.table(columns, self.schema))
        if sum(table.nbytes for table in self.batches) > GROUP:
            self._flush()

    def _flush(self) -> None:
        if any(map(len, self.batches)):
            table = pa.concat_tables(self.batches)
            self.writer.write_table(table, row_group_size=len(table))
        self.batches.clear()

    def _array(self, name: str, values: list[Any]) -> pa.Array:
        kind = self.schema.field(name).type
        return pa.array([text(value) for value in values] if kind == pa.string() else values, kind)

    def close(self) -> None:
        """Writes the last row group."""
        self._flush()
        self.writer.close()


def join(parts: list[Path], target: Path, schema: pa.Schema) -> None:
    """Row groups of the parts, one behind the other."""
    with pq.ParquetWriter(target, schema) as writer:
        for part in parts:
            with pq.ParquetFile(part) as file:
                for group in range(file.num_row_groups):
                    table = file.read_row_group(group)
                    writer.write_table(table, row_group_size=len(table))


def output_schema(layout: Layout, source: RowSource, request: type[BaseModel], response: type[BaseModel]) -> pa.Schema:
    """Fixed before the first row is read: by the input's own schema, else by the request's and the response's types."""
    fields = []
    inputs, outputs = request.model_json_schema(), response.model_json_schema(mode="serialization")
    for name in layout.kept:
        if isinstance(source, ParquetSource):
            fields.append(source.schema.field(name))
        else:
            known = inputs["properties"].get(name)
            fields.append(pa.field(name, arrow_type(known, inputs.get("$defs", {})) if known else pa.string()))
    if layout.number:
        fields.append(pa.field(layout.number, pa.int64()))
    for field, name in layout.outputs.items():
        fields.append(pa.field(name, arrow_type(outputs["properties"][field], outputs.get("$defs", {}))))
    return pa.schema(fields)


def arrow_type(schema: JsonObject, defs: JsonObject) -> pa.DataType:
    """Of a JSON schema. What may be of several types is kept as text: strings as they are, the rest as JSON."""
    if "$ref" in schema:
        return arrow_type(defs[schema["$ref"].rpartition("/")[2]], defs)
    if choices := [one for one in schema.get("anyOf", []) if one.get("type") != "null"]:
        return arrow_type(choices[0], defs) if len(choices) == 1 else pa.string()
    allowed = kinds(schema)
    if allowed == {"array"} and "items" in schema:
        return pa.list_(arrow_type(schema["items"], defs))
    if allowed == {"object"} and "properties" in schema:
        return pa.struct({name: arrow_type(one, defs) for name, one in schema["properties"].items()})
    if allowed == {"object"} and isinstance(schema.get("additionalProperties"), dict):
        return pa.map_(pa.string(), arrow_type(schema["additionalProperties"], defs))
    return SCALARS.get(next(iter(allowed)), pa.string()) if len(allowed) == 1 else pa.string()
