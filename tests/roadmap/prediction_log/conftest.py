"""A log of either kind, and recorders for it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from roadmap.prediction_log.recorder import PredictionLogger
from tests.support.predictions import Metrics


@pytest.fixture(params=["folder", "database"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "log") if request.param == "folder" else f"sqlite:///{tmp_path / 'log.db'}"


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def start(tmp_path: Path, metrics: Metrics) -> Iterator[Callable[..., PredictionLogger]]:
    """Recorders with one spool; closed at the end."""
    recorders: list[PredictionLogger] = []

    def start(url: str, share: float = 1.0, **options: Any) -> PredictionLogger:
        recorders.append(PredictionLogger(url, share, metrics, tmp_path / "spool", **options))
        return recorders[-1]

    yield start
    for recorder in recorders:
        recorder.close()
