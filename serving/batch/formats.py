"""Which format a file has, by its name, and who reads and writes it. pyarrow is imported for Parquet alone."""

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel

from roadmap.io.errors import UsageError
from serving.batch.rows import RowSource
from serving.batch.scored import Layout, Sink
from serving.batch.text_sink import CsvSink, JsonLinesSink, join_texts
from serving.batch.text_source import CsvSource, JsonLinesSource
from serving.runtime.cells import Columns

if TYPE_CHECKING:
    import pyarrow as pa

INPUTS = (".csv", ".csv.gz", ".jsonl", ".jsonl.gz", ".parquet")
OUTPUTS = (".csv", ".jsonl", ".parquet")


def extension(path: Path, allowed: tuple[str, ...] = INPUTS) -> str:
    """
    Raises:
        UsageError: a file whose name says no known format.
    """
    for known in allowed:
        if path.name.lower().endswith(known):
            return known
    raise UsageError(f"{path}: cannot tell the format by the name; it should end in {', '.join(allowed)}")


def existing(path: Path) -> str:
    """The format of an input.

    Raises:
        UsageError: no such file, or unknown format.
    """
    kind = extension(path)
    if not path.is_file():
        raise UsageError(f"{path}: {'is a folder' if path.is_dir() else 'no such file'}")
    return kind


def open_source(path: Path, columns: Columns) -> RowSource:
    """columns: of the request, by which the header of a CSV is known

    Raises:
        UsageError: no such file, unknown format, no header, no Parquet.
    """
    kind = existing(path)
    if kind == ".parquet":
        from serving.batch.parquet import ParquetSource

        return ParquetSource(path)
    return CsvSource(path, columns.names, columns.delimiter) if kind.startswith(".csv") else JsonLinesSource(path)


def output_schema(
    output: Path, layout: Layout, source: RowSource, request: type[BaseModel], response: type[BaseModel]
) -> "pa.Schema | None":
    """Of Parquet, the Arrow schema; None for text."""
    if extension(output, OUTPUTS) != ".parquet":
        return None
    from serving.batch import parquet

    return parquet.output_schema(layout, source, request, response)


def open_sink(path: Path, layout: Layout, schema: "pa.Schema | None", from_text: bool) -> Sink:
    """A new file. from_text: the rows' values are texts, to be typed as the requests are"""
    kind = extension(path, OUTPUTS)
    if kind == ".parquet":
        from serving.batch.parquet import ParquetSink

        return ParquetSink(path, layout, schema)
    return JsonLinesSink(path, layout, from_text) if kind == ".jsonl" else CsvSink(path, layout)


def join(parts: list[Path], target: Path, layout: Layout, schema: "pa.Schema | None") -> None:
    """The parts, all of the target's format, as one file."""
    kind = extension(target, OUTPUTS)
    if kind == ".parquet":
        from serving.batch import parquet

        parquet.join(parts, target, schema)
    else:
        join_texts(parts, target, layout.names if kind == ".csv" else None)
