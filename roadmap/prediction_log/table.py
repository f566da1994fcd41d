"""The prediction log as a table in any database that SQLAlchemy supports."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

import sqlalchemy as sql
from sqlalchemy import Column, DateTime, Double, Index, Integer, MetaData, String, Text

from roadmap.prediction_log.row import PredictionRecord

PREDICTIONS = sql.Table(
    "predictions",
    MetaData(),
    Column("id", Integer, primary_key=True),
    Column("time", DateTime, nullable=False, comment="UTC"),  # without a zone: not every database keeps one
    Column("request_id", String(128), nullable=False),
    Column("project", String(64), nullable=False),
    Column("version", String(64), nullable=False),
    Column("profile", String(16), nullable=False),
    Column("input", Text, nullable=False),
    Column("output", Text, nullable=False),
    Column("seconds", Double, nullable=False),
    Index("predictions_by_time", "project", "time"),
)
# The written batches, so that a writer that was killed after a write doesn't repeat it.
BATCHES = sql.Table(
    "prediction_batches",
    MetaData(),
    Column("name", String(128), primary_key=True),
    Column("time", DateTime, nullable=False, comment="UTC"),
)
REMEMBERED = timedelta(days=30)  # a writer restarts long before


class SqlLog:
    """Creates the tables if missing."""

    def __init__(self, url: str) -> None:
        self.engine = sql.create_engine(url, pool_pre_ping=True)
        PREDICTIONS.create(self.engine, checkfirst=True)

    def write(self, rows: Sequence[PredictionRecord], batch: str | None = None) -> Sequence[PredictionRecord]:
        if batch is None:
            with self.engine.begin() as connection:
                return _insert(connection, rows)
        BATCHES.create(self.engine, checkfirst=True)
        now = _naive(datetime.now(UTC))
        with self.engine.begin() as connection:
            if connection.execute(sql.select(BATCHES).where(BATCHES.c.name == batch)).first():
                return []
            connection.execute(sql.delete(BATCHES).where(BATCHES.c.time < now - REMEMBERED))
            connection.execute(sql.insert(BATCHES), {"name": batch, "time": now})
            return _insert(connection, rows)

    def read(self, project: str, since: datetime, until: datetime) -> Iterator[PredictionRecord]:
        column, times = PREDICTIONS.c, [_naive(since), _naive(until)]
        wanted = (
            sql.select(*(column[name] for name in PredictionRecord._fields))
            .where(column.project == project, column.time >= times[0], column.time < times[1])
            .order_by(column.time, column.id)
        )
        with self.engine.connect() as connection:
            for time, *rest in connection.execution_options(yield_per=1000).execute(wanted):
                yield PredictionRecord(time.replace(tzinfo=UTC), *rest)


def _insert(connection: sql.Connection, rows: Sequence[PredictionRecord]) -> list[PredictionRecord]:
    """Inserts the rows one by one; returns the rejected ones, such as an input that is too long for its column."""
    if not rows:
        return []
    try:
        with connection.begin_nested():
            values = [{**row._asdict(), "time": _naive(row.time)} for row in rows]
            connection.execute(sql.insert(PREDICTIONS), values)
        return []
    except (sql.exc.DataError, sql.exc.IntegrityError):
        if len(rows) == 1:
            return list(rows)
        half = len(rows) // 2
        return [*_insert(connection, rows[:half]), *_insert(connection, rows[half:])]


def _naive(time: datetime) -> datetime:
    return time.astimezone(UTC).replace(tzinfo=None)
