"""What the tests of this room share."""

from pathlib import Path

import pytest

from tests.support import bundles


@pytest.fixture(scope="session")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of every project."""
    return bundles.make_all(tmp_path_factory.mktemp("artifacts"))
