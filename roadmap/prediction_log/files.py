"""The prediction log as Parquet files by project and day."""

import os
import re
import uuid
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
from pyarrow import parquet

from roadmap.io.columns import read_columns
from roadmap.prediction_log.row import PredictionRecord

# Without the project, which is in the path, as readers of partitioned datasets require.
SCHEMA = pa.schema(
    [
        ("time", pa.timestamp("us", "UTC")),
        *((name, pa.string()) for name in ("request_id", "version", "profile", "input", "output")),
        ("seconds", pa.float64()),
    ]
)
DAY = re.compile(r"date=(\d{4}-\d\d-\d\d)")


class ParquetLog:
    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)

    def write(self, rows: Sequence[PredictionRecord], batch: str | None = None) -> Sequence[PredictionRecord]:
        """Each file is written under a name that readers skip, then renamed."""
        batch = batch or f"{datetime.now(UTC):%Y%m%d-%H%M%S-%f}-{uuid.uuid4().hex}"
        parts: dict[tuple[str, date], list[PredictionRecord]] = defaultdict(list)
        for row in rows:
            parts[row.project, row.time.astimezone(UTC).date()].append(row)
        drafts = []
        try:
            for (project, day), found in parts.items():
                folder = self.folder / f"project={project}" / f"date={day}"
                folder.mkdir(parents=True, exist_ok=True)
                place = folder / f"part-{batch}.parquet"
                drafts.append((draft := place.with_name(f".{place.name}"), place))
                columns = dict(zip(PredictionRecord._fields, zip(*found, strict=True), strict=True))
                table = pa.table([pa.array(columns[field.name], field.type) for field in SCHEMA], SCHEMA)
                parquet.write_table(table, draft, compression="zstd")
        except BaseException:
            for draft, _ in drafts:
                draft.unlink(missing_ok=True)
            raise
        for draft, place in drafts:
            os.replace(draft, place)  # noqa: PTH105
        return []

    def read(self, project: str, since: datetime, until: datetime) -> Iterator[PredictionRecord]:
        for folder in sorted((self.folder / f"project={project}").glob("date=*")):
            found = DAY.fullmatch(folder.name)
            if not found or not since.date() <= date.fromisoformat(found[1]) <= until.date():
                continue
            paths = sorted(folder.glob("part-*.parquet"))
            tables = [read_columns(path, SCHEMA.names, "predictions", SCHEMA) for path in paths]
            if not tables:
                continue
            for batch in pa.concat_tables(tables).sort_by("time").to_batches(max_chunksize=1024):
                rows = (PredictionRecord(project=project, **fields) for fields in batch.to_pylist())
                yield from (row for row in rows if since <= row.time < until)
