"""The prediction log: a sample of requests and predictions, for drift monitoring.

A folder gets Parquet by day, <folder>/project=<name>/date=<YYYY-MM-DD>/part-*.parquet, as pyarrow, DuckDB and Spark
read it; a SQLAlchemy URL gets the table `predictions`. One row per input.
"""

from collections.abc import Iterator
from datetime import UTC, datetime

from roadmap.prediction_log.row import PredictionRecord, PredictionStore


def open_store(url: str) -> PredictionStore:
    """Opens a log; imports only the backend that it needs."""
    if "://" in url:
        from roadmap.prediction_log.table import SqlLog

        return SqlLog(url)
    from roadmap.prediction_log.files import ParquetLog

    return ParquetLog(url)


def read(url: str, project: str, since: datetime, until: datetime) -> Iterator[PredictionRecord]:
    """The rows of a project with since <= time < until, by time; both with a time zone."""
    return open_store(url).read(project, since.astimezone(UTC), until.astimezone(UTC))
