"""feedback/<project>/: labelled rows of the prediction log as part of the dataset, and their lineage.

rows.parquet    one row per labelled input, the newest MOST; absent before the first collection
windows.json    one entry per collection that added rows: the lineage of every version of the data
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from roadmap.io.atomic import atomic_folder
from roadmap.io.documents import read_json
from roadmap.io.json import JsonObject

if TYPE_CHECKING:
    from roadmap.prediction_log.labels import LabelledPrediction

MOST = 20_000  # rows kept, to bound the training data; the oldest are dropped


@dataclass(frozen=True)
class FeedbackRecord:
    request_id: str
    index: int
    time: datetime  # of the prediction
    version: str  # of the model
    profile: str
    input: str  # JSON
    label: str

    @property
    def key(self) -> tuple[str, int]:
        return self.request_id, self.index

    @classmethod
    def from_prediction(cls, one: LabelledPrediction) -> FeedbackRecord:
        inputs = json.dumps(one.input, ensure_ascii=False)
        return cls(one.request_id, one.index, one.time, one.version, one.profile, inputs, one.label)


def read(folder: Path) -> list[FeedbackRecord]:
    """The collected rows, by time."""
    path = folder / "rows.parquet"
    if not path.exists():
        return []
    from roadmap.io.columns import read_columns

    names = [one.name for one in fields(FeedbackRecord)]
    return [FeedbackRecord(**values) for values in read_columns(path, names, "collected rows").to_pylist()]


def windows(folder: Path) -> list[JsonObject]:
    path = folder / "windows.json"
    remedy = f"delete {folder}, and collect again"
    return read_json(path, list[JsonObject], remedy) if path.exists() else []


def begin(folder: Path) -> None:
    """Creates an empty collection if there is none."""
    if not (folder / "windows.json").exists():
        write(folder, [], [])


def add(folder: Path, found: Iterable[LabelledPrediction], collected: datetime, most: int = MOST) -> int:
    """Adds the new rows among `found`, in order of time, and returns their number; writes nothing if there are none.

    A corrected label replaces its row. A request answered by two versions is one row.
    """
    kept = read(folder)
    before = set(kept)
    rows = {row.key: row for row in kept}
    for row in map(FeedbackRecord.from_prediction, found):
        known = rows.get(row.key)
        if known is None:
            rows[row.key] = row
        elif known.label != row.label:
            rows[row.key] = replace(known, label=row.label)
    after = sorted(rows.values(), key=lambda row: (row.time, row.request_id, row.index))[-most:]
    added = [row for row in after if row not in before]
    if added:
        window = {
            "collected": collected.astimezone(UTC).isoformat(timespec="seconds"),
            "since": added[0].time.isoformat(),
            "until": added[-1].time.isoformat(),
            "rows": len(added),
            "versions": sorted({row.version for row in added}),
            "sha256": hashlib.sha256("\n".join(map(line, added)).encode()).hexdigest(),
        }
        write(folder, after, [*windows(folder), window])
    return len(added)


def line(row: FeedbackRecord) -> str:
    """A row in the form that is hashed."""
    return json.dumps(astuple(row), ensure_ascii=False, default=str)


def write(folder: Path, rows: list[FeedbackRecord], history: list[JsonObject]) -> None:
    """Atomically."""
    with atomic_folder(folder) as draft:
        if rows:
            import pyarrow as pa
            from pyarrow import parquet

            kinds = {"index": pa.int32(), "time": pa.timestamp("us", "UTC")}
            schema = pa.schema([(one.name, kinds.get(one.name, pa.string())) for one in fields(FeedbackRecord)])
            table = pa.Table.from_pylist([vars(row) for row in rows], schema)
            parquet.write_table(table, draft / "rows.parquet", compression="zstd")
        (draft / "windows.json").write_text(json.dumps(history, indent=2) + "\n")
