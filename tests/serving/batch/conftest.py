"""A job in an empty folder."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from serving.batch.__main__ import main
from tests.support import bundles
from tests.support.scoring import many


@pytest.fixture(scope="session")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundles.make_all(tmp_path_factory.mktemp("artifacts"))


@pytest.fixture
def run(artifacts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: main([f"bundles={artifacts}", *arguments])


@pytest.fixture
def half(run: Callable[..., int], tmp_path: Path, capsys: Any) -> tuple[str, ...]:
    """A job that stopped in the middle, as if killed."""
    many(tmp_path / "people.csv", 3000)
    arguments = ("project=titanic", "input=people.csv", "output=out.csv", "rows=512")
    assert run(*arguments, "max_errors=2") == 1
    capsys.readouterr()
    return arguments
