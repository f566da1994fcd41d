"""A server over the tiny language model."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from serving.http.app import create_app
from serving.settings import Settings


@pytest.fixture(scope="module")
def client(letters: Path) -> Iterator[TestClient]:
    with TestClient(create_app(Settings(bundles=str(letters))), raise_server_exceptions=False) as client:
        yield client
