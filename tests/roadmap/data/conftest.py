"""`prepare` on a CSV of one's own."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from roadmap.data.splits import PreparedData
from roadmap.data.tables import prepare_csv
from tests.support.tables import SHARES


@pytest.fixture
def prepare(tmp_path: Path) -> Callable[..., PreparedData]:
    def run(
        content: str | bytes, target: str = "price", task: Any = "regression", shares: Any = SHARES
    ) -> PreparedData:
        path = tmp_path / "mine.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return prepare_csv(str(path), target, task, shares, seed=1)

    return run
