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

from roadmap.prediction_log.log import Row

# Without the project: it is in the path, where readers of partitioned data sets expect it, and they allow it only once.
SCHEMA = pa.schema(
    [
        ("time", pa.timestamp("us", "UTC")),
        *((name, pa.string()) for name in ("request_id", "version", "profile", "input", "output")),
        ("seconds", pa.float64()),
    ]
)
DAY = re.compile(r"date=(\d{4}-\d\d-\d\d)")


class Files:
    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)

    def write(self, rows: Sequence[Row]) -> None:
        """Each file is written beside its place, under a name that readers pass over, and then moved there."""
        parts: dict[Path, list[dict[str, object]]] = defaultdict(list)
        for row in rows:
            day = row.time.astimezone(UTC).date()
            parts[self.folder / f"project={row.project}" / f"date={day}"].append(row._asdict())
        drafts = []
        try:
            for folder, found in parts.items():
                folder.mkdir(parents=True, exist_ok=True)
                place = folder / f"part-{datetime.now(UTC):%H%M%S}-{uuid.uuid4().hex}.parquet"
                drafts.append((draft := place.with_name(f".{place.name}"), place))
                parquet.write_table(pa.Table.from_pylist(found, SCHEMA), draft, compression="zstd")
        except BaseException:
            for draft, _ in drafts:
                draft.unlink(missing_ok=True)
            raise
        for draft, place in drafts:
            os.replace(draft, place)  # noqa: PTH105

    def read(self, project: str, since: datetime, until: datetime) -> Iterator[Row]:
        for folder in sorted((self.folder / f"project={project}").glob("date=*")):
            found = DAY.fullmatch(folder.name)
            if not found or not since.date() <= date.fromisoformat(found[1]) <= until.date():
                continue
            tables = [parquet.ParquetFile(path).read() for path in sorted(folder.glob("part-*.parquet"))]
            if not tables:
                continue
            for batch in pa.concat_tables(tables).sort_by("time").to_batches(max_chunksize=1024):
                rows = (Row(project=project, **fields) for fields in batch.to_pylist())
                yield from (row for row in rows if since <= row.time < until)
