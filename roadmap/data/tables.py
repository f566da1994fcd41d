"""Tables: read a user's CSV, say what its columns are, check rows against a pandera schema, cut splits."""

import csv
import io
import warnings
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from roadmap.io.errors import UsageError, nearest
from roadmap.data.splits import PreparedData, split_indices

Task = Literal["regression", "binary"]
MAX_TEXT = 200  # characters of a category, as roadmap/inference/tabular takes them
MAX_LEVELS = 50  # a text column with more distinct values is an identifier or free text, and is left out


def read_csv(path: str | Path, target: str) -> pd.DataFrame:
    """A user's CSV, the rows that have a target.

    Raises:
        UsageError: no such file, not UTF-8, empty, duplicate header, no target column, too few rows.
    """
    path = Path(path)
    if not path.is_file():
        raise UsageError(f"{path}: no such file")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{path}: is not UTF-8 text ({error.reason} at byte {error.start}); save it as UTF-8"
        ) from None
    if not text.strip():
        raise UsageError(f"{path}: is empty")
    header = next(csv.reader(io.StringIO(text, newline=""), skipinitialspace=True))
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise UsageError(f"{path}: line 1: column {', '.join(map(repr, twice))} appears more than once")
    if target not in header:
        raise UsageError(f"{path}: line 1: no column {target!r}; {nearest(target, header)}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # more fields than the header has names
            frame = pd.read_csv(io.StringIO(text), skipinitialspace=True, index_col=False)
    except (pd.errors.ParserError, pd.errors.ParserWarning) as error:
        raise UsageError(f"{path}: {str(error).strip()}") from None
    frame = frame.dropna(subset=[target])  # the index still counts the rows of the file
    infinite = [name for name in frame.select_dtypes("number") if np.isinf(frame[name]).any()]
    if infinite:
        raise UsageError(f"{path}: column {', '.join(map(repr, infinite))} holds infinite values; leave them empty")
    if len(frame) < 20:
        raise UsageError(f"{path}: {len(frame)} rows have a value in {target!r}; at least 20 are needed")
    if len(frame.columns) < 2:
        raise UsageError(f"{path}: has no column beside the target {target!r}")
    return frame


def numeric_target(values: pd.Series, where: str) -> pd.Series:
    """The target of a regression as float64; a text or a constant is refused."""
    numbers = pd.to_numeric(values, errors="coerce")
    bad = np.flatnonzero(~np.isfinite(numbers))
    if len(bad):
        row, found = values.index[bad[0]] + 1, values.iloc[bad[0]]
        raise UsageError(f"{where}: target {values.name!r} must be numeric; data row {row} has {found!r}")
    if numbers.nunique() < 2:
        raise UsageError(f"{where}: target {values.name!r} has one value only ({values.iloc[0]!r}); nothing to learn")
    return numbers.astype("float64")


def binary_target(values: pd.Series, where: str) -> tuple[pd.Series, list[str]]:
    """The target of a classification as 0 and 1, and the names of the two classes in that order."""
    levels = sorted(values.unique(), key=str)
    if len(levels) != 2:
        found = ", ".join(str(level) for level in levels[:5]) + (", ..." if len(levels) > 5 else "")
        raise UsageError(f"{where}: target {values.name!r} must have two classes; found {len(levels)}: {found}")
    return (values == levels[1]).astype("int64"), [str(level) for level in levels]


def infer_columns(frame: pd.DataFrame, target: str) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """-> (columns to learn from, columns left out and why)."""
    columns: dict[str, dict[str, Any]] = {}
    ignored: dict[str, str] = {}
    for name in frame.columns.drop(target):
        values = frame[name].dropna()
        if values.nunique() < 2:
            ignored[name] = "one value only"
        elif pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
            columns[name] = {"kind": "number", "min": float(values.min()), "max": float(values.max())}
        elif values.map(str).str.len().max() > MAX_TEXT:
            ignored[name] = f"text of more than {MAX_TEXT} characters"
        elif values.nunique() <= MAX_LEVELS:
            columns[name] = {"kind": "category", "levels": sorted(map(str, values.unique()))}
        else:
            ignored[name] = f"text with {values.nunique()} distinct values"
    if not columns:
        raise UsageError(f"no column to learn from: {ignored}")
    return columns, ignored


def typed(frame: pd.DataFrame, columns: dict[str, dict[str, Any]]) -> pd.DataFrame:
    """Numbers as float64 and categories as strings, gaps kept."""
    frame = frame.copy()
    for name, spec in columns.items():
        if spec["kind"] == "number":
            frame[name] = frame[name].astype("float64")
        else:
            frame[name] = frame[name].map(str, na_action="ignore").astype(object)
    return frame


def validate(frame: pd.DataFrame, schema: Any, where: str) -> None:
    """Checks a frame against a pandera schema; the first bad row is named by row, column and rule."""
    from pandera.errors import SchemaErrors

    try:
        schema.validate(frame, lazy=True)
    except SchemaErrors as errors:
        cases = errors.failure_cases
        first = cases.iloc[0]
        found = first["failure_case"].item() if isinstance(first["failure_case"], np.generic) else first["failure_case"]
        row = "" if pd.isna(first["index"]) else f"data row {int(first['index']) + 1}, "
        more = f" (and {len(cases) - 1} more)" if len(cases) > 1 else ""
        column = first["column"] or "the table"
        raise UsageError(f"{where}: {row}column {column}: {found!r} breaks the rule {first['check']}{more}") from None


def prepare(
    frame: pd.DataFrame,
    target: str,
    task: Task,
    *,
    source: str,
    licence: str,
    shares: tuple[float, float, float],
    seed: int,
    classes: list[str] | None = None,
) -> PreparedData:
    """Splits a checked table; says on the terminal what each column is taken for."""
    columns, ignored = infer_columns(frame, target)
    kept = typed(frame[[*columns, target]], columns)
    print(f"{source}: {len(kept):,} rows, target {target!r} ({task})")
    for name, spec in columns.items():
        said = f"{spec['min']:g} to {spec['max']:g}" if spec["kind"] == "number" else f"{len(spec['levels'])} levels"
        print(f"  {name}: {spec['kind']}, {said}, {kept[name].isna().sum()} missing")
    for name, why in ignored.items():
        print(f"  {name}: left out ({why})")
    kept = kept.reset_index(drop=True)
    rows = split_indices(len(kept), shares, seed, strata=kept[target].to_numpy() if task == "binary" else None)
    for name, index in rows.items():
        if not len(index):
            raise UsageError(f"{source}: {len(kept)} rows leave {name} empty; change data.split")
    schema = {"task": task, "target": target, "columns": columns, "ignored": ignored}
    return PreparedData(
        splits={name: kept.iloc[index].reset_index(drop=True) for name, index in rows.items()},
        source=source,
        licence=licence,
        schema=schema if classes is None else {**schema, "classes": classes},
    )


def labelled(asked: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any] | None:
    """A request as a row of the table, a field that is absent as a gap; None where it has other columns."""
    columns = schema["columns"]
    fits = asked.keys() <= columns.keys() and all(
        value is None or isinstance(value, str) == (columns[name]["kind"] == "category")
        for name, value in asked.items()
    )
    return {name: asked.get(name) for name in columns} if fits else None


def renewed(schema: dict[str, Any], frames: list[pd.DataFrame]) -> dict[str, Any]:
    """The schema with ranges and levels that hold what `frames` bring too."""
    columns = {}
    for name, spec in schema["columns"].items():
        values = pd.concat([frame[name] for frame in frames]).dropna()
        if values.empty:
            columns[name] = spec
        elif spec["kind"] == "number":
            low, high = min(spec["min"], float(values.min())), max(spec["max"], float(values.max()))
            columns[name] = {**spec, "min": low, "max": high}
        else:
            columns[name] = {**spec, "levels": sorted({*spec["levels"], *values})}
    return {**schema, "columns": columns}


def prepare_csv(path: str, target: str, task: Task, shares: tuple[float, float, float], seed: int) -> PreparedData:
    """A user's own CSV, with column types inferred and stated; the target must suit the task."""
    frame, classes = read_csv(path, target), None
    if task == "regression":
        frame[target] = numeric_target(frame[target], path)
    else:
        frame[target], classes = binary_target(frame[target], path)
    source = f"csv:{Path(path).name}"
    return prepare(frame, target, task, source=source, licence="yours", shares=shares, seed=seed, classes=classes)
