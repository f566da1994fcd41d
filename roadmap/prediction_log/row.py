"""One answer as the log keeps it, and what every place of a log can do."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol


class PredictionRecord(NamedTuple):
    time: datetime
    request_id: str
    project: str
    version: str
    profile: str
    input: str  # JSON
    output: str  # JSON
    seconds: float  # of the whole request


class PredictionStore(Protocol):
    def write(self, rows: Sequence[PredictionRecord], batch: str | None = None) -> Sequence[PredictionRecord]:
        """All of the rows or none, but for those that it refuses for what is in them.

        Args:
            batch: names them. Where the log has a batch of this name, whole or in part, it is these rows, and they
                are there once afterwards

        Returns:
            The refused rows.
        """

    def read(self, project: str, since: datetime, until: datetime) -> Iterator[PredictionRecord]:
        """Those with since <= time < until, by time."""
