"""Shared by the tests of the images."""

from pathlib import Path

import pytest

from tests.support import bundles
from tests.support.infra import engine


@pytest.fixture(scope="session")
def serving() -> str:
    """The serving image, built of this tree."""
    return engine.built("serving")


@pytest.fixture(scope="session")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of every project, readable for a container's user."""
    folder = bundles.make_all(tmp_path_factory.mktemp("artifacts"))
    engine.readable(folder)
    return folder
