"""A prediction log without a server."""

import json
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from pydantic import BaseModel

from roadmap.prediction_log import log as recording
from roadmap.prediction_log.log import PredictionRecord
from roadmap.prediction_log.recorder import PredictionLogger

SOON = timedelta(minutes=5)


def read(
    url: str, project: str = "titanic", since: datetime | None = None, until: datetime | None = None
) -> list[PredictionRecord]:
    now = datetime.now(UTC)
    return list(recording.read(url, project, since or now - SOON, until or now + SOON))


def numbers(rows: Sequence[PredictionRecord]) -> list[int]:
    """The numbers in rows that `record` has written."""
    return [json.loads(row.input)["n"] for row in rows]


class Manifest:
    version, profile = "v1", "sample"


class Served:
    """The parts of a model that the recorder uses."""

    manifest = Manifest()

    def __init__(self, name: str = "titanic") -> None:
        self.name = name


class Input(BaseModel):
    n: int


def record(recorder: PredictionLogger, *numbers: int, name: str = "titanic") -> bool:
    """One request with these inputs."""
    inputs = [Input(n=number) for number in numbers]
    return recorder.record(Served(name), inputs, [{"y": n} for n in numbers], f"r{numbers[0]}", 0.01)


class Metrics:
    def __init__(self) -> None:
        self.written: Counter[str] = Counter()
        self.lost: Counter[str] = Counter()

    def recorded(self, project: str, rows: int) -> None:
        self.written[project] += rows

    def dropped(self, project: str, rows: int) -> None:
        self.lost[project] += rows
