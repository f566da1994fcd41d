"""Rules of the test suite: slow tests are marked, no test imports another, and packages mirror the tree."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.checkouts import ROOT, environment

TESTS = ROOT / "tests"
FILES = sorted(TESTS.rglob("test_*.py"))
OF_ITS_OWN = {"architecture", "system"}  # shared code, and tests that start servers

USES = """
import pytest
from tests.support.collection import refuse_unmarked

def pytest_collection_modifyitems(items):
    refuse_unmarked(items)

@pytest.fixture
def reproduced():
    pass

@pytest.fixture
def through_another(reproduced):
    pass
"""


CASES = """
import pytest

def test_plain(): pass

def test_directly(reproduced): pass

def test_through_another(through_another): pass

@pytest.mark.mirror
def test_official(): pass

@pytest.mark.slow
def test_marked(through_another): pass
"""


def test_tests_that_use_the_reproduction_or_the_mirror_are_slow(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(USES)
    (tmp_path / "test_it.py").write_text(CASES)
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers =\n  slow: slow\n  mirror: mirror\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--co", "-p", "no:cacheprovider", str(tmp_path)],
        cwd=tmp_path, env=environment(PYTHONPATH=str(ROOT)), capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == pytest.ExitCode.USAGE_ERROR, done.stdout
    assert re.findall(r"::(\w+): takes minutes", done.stderr) == [
        "test_directly",
        "test_through_another",
        "test_official",
    ]


def imports(file: Path) -> set[str]:
    nodes = list(ast.walk(ast.parse(file.read_text())))
    found = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return found | {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)}


def test_no_test_imports_another() -> None:
    found = {
        (str(file.relative_to(ROOT)), name)
        for file in [*TESTS.rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py")]
        for name in imports(file)
        if name.startswith("tests.") and not name.startswith(("tests.support", "tests.standins"))
    }
    assert not found, "shared code belongs in tests/support"


def test_test_packages_mirror_the_tree() -> None:
    for file in FILES:
        room = file.parent.relative_to(TESTS)
        if room.parts and room.parts[0] not in OF_ITS_OWN:
            assert (ROOT / room).is_dir() or (ROOT / room).with_suffix(".py").is_file(), f"{file}: no package {room}"


def test_a_package_has_at_most_a_dozen_files() -> None:
    rooms: dict[Path, int] = {}
    for file in FILES:
        rooms[file.parent] = rooms.get(file.parent, 0) + 1
    assert max(rooms.values()) <= 12
