"""The generated reviews, prepared."""

from pathlib import Path

import pytest

from pipelines.imdb import data
from roadmap.data import splits
from tests.support.pipelines.reviews import settings


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prepared") / "imdb"
    splits.write(folder, data.Data().prepare(settings(), "sample", seed=7), "sample")
    return folder
