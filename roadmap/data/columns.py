"""What the columns of a table are taken for: numbers, categories, or nothing to learn from."""

import re
from collections.abc import Collection

import numpy as np
import pandas as pd

from roadmap.inference.tabular.values import MAX_TEXT
from roadmap.io.errors import UsageError
from roadmap.io.json import JsonObject

MAX_LEVELS = 50  # a text column with more distinct values is an identifier or free text, and is left out
FEWEST = 20  # rows, below which values that are all distinct prove nothing
UNNAMED = re.compile(r"Unnamed: \d+")
IDENTIFIER = re.compile(
    r"(^|[\W_])(#|id|uid|uuid|guid|idx|index|key|no|nr|row|rownames|level_0|serial|seq|sequence|record|instant)[\W_]*$"
    r"|[a-z](Id|ID|Key|No|Nr)$|编号|序号|学号|工号",
)


def infer_columns(
    frame: pd.DataFrame, target: str, keep: Collection[str] = (), notes: dict[str, str] | None = None
) -> tuple[dict[str, JsonObject], dict[str, str]]:
    """-> (columns to learn from, columns left out and why).

    keep: columns that are learnt from though they look like an index or an identifier
    notes: why a column of text is none of numbers, to be said where it is left out

    Raises:
        UsageError: `keep` names no column, or there is nothing to learn from.
    """
    names = [str(name) for name in frame.columns.drop(target)]
    if unknown := [name for name in keep if name not in names]:
        raise UsageError(f"data.keep: found {unknown[0]!r}; expected columns: {', '.join(names)}")
    columns: dict[str, JsonObject] = {}
    ignored: dict[str, str] = {}
    for name in names:
        values = frame[name].dropna()
        numeric = pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)
        why = None if name in keep else _identifies(name, frame[name], numeric)
        if values.nunique() < 2 and (values.empty or len(values) == len(frame)):  # a gap may tell as much as a value
            why = "one value only" if len(values) else "no values"
        if why:
            ignored[name] = why
        elif numeric:
            columns[name] = {"kind": "number", "min": float(values.min()), "max": float(values.max())}
        elif values.map(str).str.len().max() > MAX_TEXT:
            ignored[name] = f"text of more than {MAX_TEXT} characters"
        elif values.nunique() <= MAX_LEVELS:
            columns[name] = {"kind": "category", "levels": sorted(map(str, values.unique()))}
        else:
            ignored[name] = f"text with {values.nunique()} distinct values"
        if name in ignored and notes and name in notes:
            ignored[name] += f"; {notes[name]}"
    if not columns:
        raise UsageError(f"no column to learn from: {ignored}")
    return columns, ignored


def _identifies(name: str, values: pd.Series, numeric: bool) -> str | None:
    """Why a column says which row it is, and nothing about it."""
    if UNNAMED.fullmatch(name):
        return "has no name, as an index that was saved"
    if len(values) < FEWEST or values.isna().any() or not values.is_unique:
        return None
    if not numeric:
        return None if values.nunique() > MAX_LEVELS else f"text with {len(values)} distinct values, one a row"
    if not (values == np.floor(values)).all():
        return None
    if values.iloc[0] in (0, 1) and (np.diff(values) == 1).all():
        return f"counts the rows from {values.iloc[0]:g} to {values.iloc[-1]:g}"
    named = IDENTIFIER.search(name) or IDENTIFIER.search(name.lower())
    return "is named as an identifier, and no value comes twice" if named else None
