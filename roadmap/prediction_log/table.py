"""The prediction log as a table of any database that SQLAlchemy knows."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from sqlalchemy import Column, DateTime, Double, Index, Integer, MetaData, String, Text, create_engine, insert, select
from sqlalchemy import Table as SqlTable

from roadmap.prediction_log.log import Row

PREDICTIONS = SqlTable(
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


class Table:
    """Makes the table where there is none."""

    def __init__(self, url: str) -> None:
        self.engine = create_engine(url, pool_pre_ping=True)
        PREDICTIONS.create(self.engine, checkfirst=True)

    def write(self, rows: Sequence[Row]) -> None:
        values = [{**row._asdict(), "time": row.time.astimezone(UTC).replace(tzinfo=None)} for row in rows]
        with self.engine.begin() as connection:
            connection.execute(insert(PREDICTIONS), values)

    def read(self, project: str, since: datetime, until: datetime) -> Iterator[Row]:
        column, times = PREDICTIONS.c, [one.astimezone(UTC).replace(tzinfo=None) for one in (since, until)]
        wanted = (
            select(*(column[name] for name in Row._fields))
            .where(column.project == project, column.time >= times[0], column.time < times[1])
            .order_by(column.time, column.id)
        )
        with self.engine.connect() as connection:
            for time, *rest in connection.execution_options(yield_per=1000).execute(wanted):
                yield Row(time.replace(tzinfo=UTC), *rest)
