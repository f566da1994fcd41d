"""A server with a challenger."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from serving.http.app import create_app
from serving.settings import Settings
from tests.support import bundles
from tests.support.challengers import Visitor


@pytest.fixture
def artifacts(tmp_path: Path) -> Path:
    """titanic, and a challenger that predicts the opposite."""
    folder = tmp_path / "artifacts"
    bundles.titanic(folder / "titanic" / "bundle")
    bundles.house_prices(folder / "house_prices" / "bundle")
    bundles.titanic(folder / "titanic" / "challenger", opposite=True)
    return folder


@pytest.fixture
def visit(artifacts: Path, tmp_path: Path) -> Callable[..., Any]:
    @contextmanager
    def started(**settings: Any) -> Iterator[Visitor]:
        log = str(tmp_path / "log")
        given = {"bundles": str(artifacts), "challengers": str(artifacts), "predictions": log, "poll_seconds": 0}
        with TestClient(create_app(Settings(**{**given, **settings}))) as client:
            yield Visitor(client, artifacts, log)

    return started
