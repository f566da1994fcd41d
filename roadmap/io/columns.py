"""Parquet files of this program, read with the columns that they must have."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from roadmap.io.errors import UsageError, of_file

if TYPE_CHECKING:
    import pyarrow as pa


def read_columns(path: Path, names: Sequence[str], kind: str, schema: "pa.Schema | None" = None) -> "pa.Table":
    """The columns `names` of all row groups, without nulls.

    Args:
        names: the columns; others are left aside.
        kind: what the rows are, for messages.
        schema: the pyarrow.Schema that they are cast to, if given.

    Raises:
        UsageError: no Parquet, or without these columns.
    """
    import pyarrow as pa
    from pyarrow import parquet

    expected = f"expected {kind}, with the columns {', '.join(names)}; move the file away, or restore it"
    try:
        table = parquet.ParquetFile(path).read()
        if absent := [name for name in names if name not in table.column_names]:
            raise UsageError(f"{path}: found no column {', '.join(absent)}; {expected}")
        table = table.select(list(names))
        if gaps := [name for name in names if table[name].null_count]:
            raise UsageError(f"{path}: found nulls in {', '.join(gaps)}; {expected}")
        return table if schema is None else table.cast(schema)
    except pa.ArrowException as error:
        raise UsageError(f"{path}: can't be read as Parquet: {str(error).splitlines()[0]}; {expected}") from None
    except OSError as error:
        if error.filename is None:
            raise UsageError(f"{path}: can't be read as Parquet: {str(error).splitlines()[0]}; {expected}") from None
        raise UsageError(f"{of_file(error)}; {expected}") from None
