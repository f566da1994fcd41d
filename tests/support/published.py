"""Published weights, as tests/weights.txt brings them."""

import hashlib
import importlib.util
import sys
from pathlib import Path

import pytest

from tests.support.checkouts import ROOT

FOLDER = ROOT / ".venv" / "published"


def folder(package: str) -> Path:
    """Where the installed package lies; without it the test is skipped."""
    if str(FOLDER) not in sys.path:
        sys.path.append(str(FOLDER))
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        pytest.skip(f"{package} is not installed; run `make weights`")
    return Path(found.origin).parent


def checked(file: Path, sha256: str) -> Path:
    found = hashlib.sha256(file.read_bytes()).hexdigest()
    assert found == sha256, f"{file}: found sha256 {found}; expected {sha256}"
    return file
