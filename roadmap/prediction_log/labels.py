"""Labels that arrive late: stored next to the prediction log, joined by request id.

A log that is a folder has <log>/_labels/project=<name>/part-*.parquet: readers of partitioned datasets skip names that
begin with an underscore, so the predictions remain a separate table. A SQLAlchemy URL has the table `labels`. Writes
are append-only: the last label of an input is the valid one.
"""

import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from roadmap.io.atomic import atomic_file
from roadmap.io.columns import read_columns
from roadmap.prediction_log import log as recording
from roadmap.prediction_log.log import PredictionRecord
from roadmap.prediction_log.row import content

LOOKBACK = timedelta(days=90)  # age limit of predictions that can be labelled


@dataclass(frozen=True)
class Label:
    request_id: str
    index: int  # index of the input in the request, from 0
    label: str  # a class name, or a number
    time: datetime  # when the label became known


@dataclass(frozen=True)
class LabelledPrediction:
    """A prediction and its label."""

    time: datetime  # of the prediction
    request_id: str
    index: int
    version: str
    input: dict[str, Any]
    output: dict[str, Any]
    label: str
    profile: str


class LabelStore(Protocol):
    def write(self, project: str, labels: Sequence[Label]) -> None:
        """All of them or none."""

    def read(self, project: str) -> Iterator[Label]:
        """In order of writing."""


class LabelFiles:
    def __init__(self, log: str) -> None:
        self.folder = Path(log) / "_labels"

    def write(self, project: str, labels: Sequence[Label]) -> None:
        import pyarrow as pa
        from pyarrow import parquet

        folder = self.folder / f"project={project}"
        table = pa.Table.from_pylist([vars(label) for label in labels], _schema())
        place = folder / f"part-{datetime.now(UTC):%Y%m%d-%H%M%S-%f}-{uuid.uuid4().hex}.parquet"
        with atomic_file(place) as draft:
            parquet.write_table(table, draft, compression="zstd")

    def read(self, project: str) -> Iterator[Label]:
        schema = _schema()
        for path in sorted((self.folder / f"project={project}").glob("part-*.parquet")):
            yield from (Label(**fields) for fields in read_columns(path, schema.names, "labels", schema).to_pylist())


def _schema() -> Any:
    import pyarrow as pa

    columns = [("request_id", pa.string()), ("index", pa.int32()), ("label", pa.string())]
    return pa.schema([*columns, ("time", pa.timestamp("us", "UTC"))])


class LabelTable:
    def __init__(self, url: str) -> None:
        import sqlalchemy as sql

        self.table = sql.Table(
            "labels",
            sql.MetaData(),
            sql.Column("id", sql.Integer, primary_key=True),
            sql.Column("project", sql.String(64), nullable=False),
            sql.Column("request_id", sql.String(128), nullable=False),
            sql.Column("index", sql.Integer, nullable=False),
            sql.Column("label", sql.Text, nullable=False),
            sql.Column("time", sql.DateTime, nullable=False, comment="UTC"),
            sql.Index("labels_by_project", "project"),
        )
        self.engine = sql.create_engine(url, pool_pre_ping=True)
        self.table.create(self.engine, checkfirst=True)

    def write(self, project: str, labels: Sequence[Label]) -> None:
        values = [{**vars(one), "project": project, "time": one.time.replace(tzinfo=None)} for one in labels]
        with self.engine.begin() as connection:
            connection.execute(self.table.insert(), values)

    def read(self, project: str) -> Iterator[Label]:
        wanted = self.table.select().where(self.table.c.project == project).order_by(self.table.c.id)
        with self.engine.connect() as connection:
            for _, _, request_id, index, label, time in connection.execution_options(yield_per=1000).execute(wanted):
                yield Label(request_id, index, label, time.replace(tzinfo=UTC))


def store(log: str) -> LabelStore:
    return LabelTable(log) if "://" in log else LabelFiles(log)


def write(log: str, project: str, labels: Sequence[Label]) -> None:
    """All of them or none. Their times are in UTC."""
    store(log).write(project, labels)


def read(log: str, project: str, since: datetime | None = None, until: datetime | None = None) -> list[Label]:
    """The valid labels with since <= time < until."""
    last = {(label.request_id, label.index): label for label in store(log).read(project)}
    return [one for one in last.values() if (not since or since <= one.time) and (not until or one.time < until)]


def indexed_records(log: str, project: str, since: datetime, until: datetime) -> Iterator[tuple[PredictionRecord, int]]:
    """The predictions of a project by time, each with its index within its request.

    The rows of a request have its time and its order. If several versions answered a request, or a client reused an
    id, each response is indexed from 0.
    """
    places: Counter[tuple[datetime, str, str]] = Counter()
    now: datetime | None = None
    for row in recording.read(log, project, since, until):
        if row.time != now:  # no rows of an earlier time follow
            now = row.time
            places.clear()
        key = (row.time, row.request_id, row.version)
        yield row, places[key]
        places[key] += 1


def labelled(log: str, project: str, since: datetime, until: datetime) -> Iterator[LabelledPrediction]:
    """The labelled predictions with since <= time < until, by time, whenever their labels arrived."""
    known = {(label.request_id, label.index): label.label for label in read(log, project)}
    if not known:
        return
    for row, index in indexed_records(log, project, since, until):
        label = known.get((row.request_id, index))
        if label is not None:
            inputs, answered = content(row, "input"), content(row, "output")
            yield LabelledPrediction(row.time, row.request_id, index, row.version, inputs, answered, label, row.profile)


def store_errors(log: str) -> tuple[type[Exception], ...]:
    """The exceptions of reading or writing a log that is unreachable or invalid."""
    if "://" in log:
        from sqlalchemy.exc import SQLAlchemyError

        return (SQLAlchemyError, ModuleNotFoundError)
    from pyarrow import ArrowException

    return (OSError, ArrowException)
