"""A log of either kind, and recorders that write to it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from roadmap.prediction_log.recorder import Recorder
from tests.support.predictions import Metrics


@pytest.fixture(params=["folder", "database"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "log") if request.param == "folder" else f"sqlite:///{tmp_path / 'log.db'}"


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def start(tmp_path: Path, metrics: Metrics) -> Iterator[Callable[..., Recorder]]:
    """Recorders with one spool; closed at the end."""
    recorders: list[Recorder] = []

    def start(url: str, share: float = 1.0, **options: Any) -> Recorder:
        recorders.append(Recorder(url, share, metrics, tmp_path / "spool", **options))
        return recorders[-1]

    yield start
    for recorder in recorders:
        recorder.close()
