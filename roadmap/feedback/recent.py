"""Labelled rows of the prediction log as rows of a project's splits, by its `labelled` in pipelines/<project>/data.py.

A row's split depends on its request id alone and never changes, so no later model trains on an earlier test row. The
original test rows stay; recent ones form a split of their own.
"""

import hashlib
import json
import math
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd

from roadmap.data.schema import widen_schema
from roadmap.data.splits import RECENT, PreparedData, Split
from roadmap.feedback import collected
from roadmap.io.json import JsonObject

SHARES = {"train": 0.5, "val": 0.15, RECENT: 0.35}

# A logged input and the schema -> the row without its target; None if it doesn't match the schema.
Labelling = Callable[[JsonObject, JsonObject], JsonObject | None]


Part = TypeVar("Part", pd.DataFrame, dict[str, np.ndarray])


def split_of(request_id: str) -> str:
    """The name of the split, one of SHARES, that this request falls into."""
    place = int.from_bytes(hashlib.sha256(request_id.encode()).digest()[:8], "big") / 2**64
    bounds = np.cumsum(list(SHARES.values()))
    return list(SHARES)[min(int(np.searchsorted(bounds, place, side="right")), len(bounds) - 1)]


def target_of(label: str, schema: JsonObject) -> int | float | None:
    """The value of the target column: the class index, or the number; None if it is neither."""
    if "classes" in schema:
        if set(schema["classes"]) == {"False", "True"}:  # however they are spelled, as in the training file
            label = label.capitalize()
        return schema["classes"].index(label) if label in schema["classes"] else None
    try:
        value = float(label)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def with_feedback(prepared: PreparedData, folder: Path, profile: str, labelled: Labelling) -> PreparedData:
    """`prepared` plus the rows in `folder` from the same profile; prints how many were skipped and why."""
    found = collected.read(folder)
    if not found:
        return prepared
    schema, left_out = prepared.schema, Counter[str]()
    rows: list[tuple[str, JsonObject]] = []  # request id, and the row with its target
    for one in found:
        row = labelled(json.loads(one.input), schema) if one.profile == profile else None
        target = target_of(one.label, schema)
        if one.profile != profile:
            left_out[f"profile {one.profile}"] += 1
        elif row is None:
            left_out["other fields or another size"] += 1
        elif target is None:
            left_out["no such class"] += 1
        else:
            rows.append((one.request_id, {**row, schema["target"]: target}))
    table = "columns" in schema
    if not table:  # Tables have equal rows by nature; an equal text or image would leak its label.
        known = len(rows)
        rows = unknown(rows, prepared.splits.values(), schema["target"])
        left_out["known already"] = known - len(rows)
    for why, count in (+left_out).items():
        print(f"{folder}: {count:,} labelled rows skipped ({why})")
    if not rows:
        return prepared
    parts = {name: [row for request_id, row in rows if split_of(request_id) == name] for name in SHARES}
    recent = {name: like(prepared.splits["train"], part, schema["target"]) for name, part in parts.items() if part}
    old = {name: joined(part, recent.get(name)) for name, part in prepared.splits.items()}
    return replace(
        prepared,
        splits=old | {name: part for name, part in recent.items() if name == RECENT},
        source=f"{prepared.source} + {len(rows):,} labelled rows of the log",
        schema=widen_schema(schema, list(recent.values())) if table else schema,
        notes={**prepared.notes, "windows": collected.windows(folder)},
    )


def unknown(rows: list[tuple[str, JsonObject]], parts: Iterable[Split], target: str) -> list[tuple[str, JsonObject]]:
    """Rows whose content is in no split; the first of each content."""
    if not rows:
        return rows
    names = [name for name in rows[0][1] if name != target]
    seen = {digest(values) for part in parts for values in zip(*(part[name] for name in names), strict=True)}
    found = []
    for request_id, row in rows:
        content = digest([row[name] for name in names])
        if content not in seen:
            seen.add(content)
            found.append((request_id, row))
    return found


def digest(values: Iterable[str | np.ndarray]) -> bytes:
    """Hash of texts and arrays."""
    contents = (value.encode() if isinstance(value, str) else np.ascontiguousarray(value).tobytes() for value in values)
    return hashlib.sha256(b"\0".join(contents)).digest()


def like(part: Part, rows: list[JsonObject], target: str) -> Part:
    """Rows cast to the types of a split, with those of its columns that the rows have."""
    if isinstance(part, dict):
        return {
            name: np.array([row[name] for row in rows], values.dtype)
            for name, values in part.items()
            if name in rows[0]
        }
    frame = pd.DataFrame(rows)
    names = [name for name in part if name in frame]
    return frame[names].astype({name: part[name].dtype for name in names if name != target})


def joined(old: Part, new: Part | None) -> Part:
    """Both concatenated. Columns of the old rows alone, such as a generator's ground truth, are dropped."""
    if new is None:
        return old
    if isinstance(old, dict):
        return {name: np.concatenate([old[name], values]) for name, values in new.items()}
    return pd.concat([old[list(new)], new], ignore_index=True)
