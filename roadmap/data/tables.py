"""Tables: targets that suit their task, rows against a pandera schema, splits of a checked table."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from roadmap.data import csv_table
from roadmap.data.columns import infer_columns
from roadmap.data.leaks import suspects
from roadmap.data.splits import FOLDS, SPLITS, PreparedData, split_indices
from roadmap.io.errors import UsageError
from roadmap.io.json import JsonObject

if TYPE_CHECKING:
    from pandera.pandas import DataFrameSchema

Task = Literal["regression", "binary"]
CLASSES = 1_000  # of a classification, at most


def numeric_target(values: pd.Series, where: str) -> pd.Series:
    """The target of a regression as float64 [n]. where: the file, for messages

    Raises:
        UsageError: a value is a text, a gap or infinite, or all are equal.
    """
    numbers = pd.to_numeric(values, errors="coerce")
    bad = np.flatnonzero(~np.isfinite(numbers))
    if len(bad):
        row, found = values.index[bad[0]] + 1, values.iloc[bad[0]]
        raise UsageError(f"{where}: target {values.name!r} must be numeric; data row {row} has {found!r}")
    if numbers.nunique() < 2:
        raise UsageError(f"{where}: target {values.name!r} has one value only, {numbers.iloc[0]:g}; nothing to learn")
    return numbers.astype("float64")


def binary_target(values: pd.Series, where: str) -> tuple[pd.Series, list[str]]:
    """The target of a classification as 0 and 1, [n], and the names of the two classes in that order.

    Raises:
        UsageError: there are not two.
    """
    names = _levels(values)
    if len(names) != 2:
        raise UsageError(f"{where}: target {values.name!r} must have two classes; found {len(names)}: {_listed(names)}")
    return class_target(values, where)


def class_target(values: pd.Series, where: str) -> tuple[pd.Series, list[str]]:
    """The target of a classification as int64 0, 1, ..., [n], and the names of the classes in that order.

    Raises:
        UsageError: there are fewer than two, or more than CLASSES.
    """
    names = _levels(values)
    if not 2 <= len(names) <= CLASSES:
        found = f"found {len(names):,}: {_listed(names)}"
        raise UsageError(f"{where}: target {values.name!r}: {found}; expected 2 to {CLASSES:,} classes")
    places = {name: place for place, name in enumerate(names)}
    return values.map(lambda value: places[_name(value)]).astype("int64"), names


def _levels(values: pd.Series) -> list[str]:
    """By size if they are numbers, else by name."""
    numbers = pd.api.types.is_float_dtype(values)
    return [_name(value) for value in sorted(values.unique(), key=None if numbers else str)]


def _name(value: Any) -> str:
    """Whole numbers without a point."""
    return str(int(value)) if isinstance(value, float) and value == int(value) else str(value)


def _listed(names: list[str]) -> str:
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")


def typed(frame: pd.DataFrame, columns: dict[str, JsonObject]) -> pd.DataFrame:
    """Numbers as float64 and categories as strings, gaps kept."""
    frame = frame.copy()
    for name, spec in columns.items():
        if spec["kind"] == "number":
            frame[name] = frame[name].astype("float64")
        else:
            frame[name] = frame[name].map(str, na_action="ignore").astype(object)
    return frame


def validate(frame: pd.DataFrame, schema: "DataFrameSchema", where: str) -> None:
    """Checks a frame against a pandera schema.

    Raises:
        UsageError: a row breaks it; the first one is named by row, column and rule.
    """
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
    reading: JsonObject | None = None,
    keep: Collection[str] = (),
    notes: dict[str, str] | None = None,
) -> PreparedData:
    """Splits a checked table; says on the terminal what each column is taken for.

    reading: how its text was read, which every door that takes text does in the same way
    keep, notes: as of `infer_columns`

    Raises:
        UsageError: there is nothing to learn from, or a split lacks what it is judged by.
    """
    columns, ignored = infer_columns(frame, target, keep, notes)
    kept = typed(frame[[*columns, target]], columns)
    print(f"{source}: {len(kept):,} rows, target {target!r} ({task})")
    for name, spec in columns.items():
        detail = f"{spec['min']:g} to {spec['max']:g}" if spec["kind"] == "number" else f"{len(spec['levels'])} levels"
        print(f"  {name}: {spec['kind']}, {detail}, {kept[name].isna().sum()} missing")
        if notes and name in notes:
            print(f"  warning: {name}: {notes[name]}")
    for name, why in ignored.items():
        print(f"  {name}: left out ({why})")
    kept = kept.reset_index(drop=True)
    rows = split_indices(len(kept), shares, seed, strata=kept[target].to_numpy() if task == "binary" else None)
    parts = {name: kept.iloc[index].reset_index(drop=True) for name, index in rows.items()}
    if all(parts["train"][name].nunique(dropna=False) < 2 for name in columns):
        raise UsageError(f"{source}: no column to learn from: each has one value only in train; give more rows")
    check_enough({name: part[target] for name, part in parts.items()}, source, classes)
    leaks = suspects(parts["train"], columns, target, task == "binary")
    for name, detail in leaks.items():
        print(f"  warning: {name} nearly is the target ({detail}): is it known before the target is?")
    schema = {"task": task, "target": target, "columns": columns, "ignored": ignored}
    schema |= {"classes": classes} if classes else {}
    schema |= {"reading": reading} if reading else {}
    return PreparedData(parts, source, licence, schema, notes={"leaks": leaks} if leaks else {})


def check_enough(targets: dict[str, pd.Series], source: str, classes: list[str] | None) -> None:
    """
    Raises:
        UsageError: a split is empty, or has not what it is judged by: each class, or two values of the target.
    """
    rows = sum(map(len, targets.values()))
    for name, target in targets.items():
        if not len(target):
            raise UsageError(f"{source}: {rows} rows leave {name} empty; change data.split")
        if classes is None and target.nunique() < 2:
            raise UsageError(
                f"{source}: {name} has one value of {target.name!r} only ({target.iloc[0]:g}); give more rows"
            )
    for number, label in enumerate(classes or []):
        counts = {name: int((target == number).sum()) for name, target in targets.items()}
        if not all(counts[name] for name in SPLITS) or counts["train"] + counts["val"] < FOLDS:
            found = f"{sum(counts.values())} of {rows} rows"
            raise UsageError(
                f"{source}: class {label!r} is too rare: found {found}; expected one in each of {', '.join(SPLITS)} "
                f"and {FOLDS} in the first two; give more rows or leave the class out"
            )


def prepare_csv(
    path: str,
    target: str,
    task: Task,
    shares: tuple[float, float, float],
    seed: int,
    gaps: Sequence[str] | None = None,
    keep: Collection[str] = (),
) -> PreparedData:
    """A user's own CSV, with column types inferred and stated; the target must suit the task.

    gaps, keep: as params.yaml has them, see roadmap/config/settings.py
    """
    table, classes = csv_table.typed(csv_table.read(path, [target]), target, gaps), None
    frame = table.frame
    if task == "regression":
        frame[target] = numeric_target(frame[target], path)
    else:
        frame[target], classes = binary_target(frame[target], path)
    return prepare(
        frame,
        target,
        task,
        source=f"csv:{Path(path).name}",
        licence="yours",
        shares=shares,
        seed=seed,
        classes=classes,
        reading=table.reading,
        keep=keep,
        notes=table.notes,
    )
