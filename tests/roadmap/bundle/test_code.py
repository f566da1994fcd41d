"""The import closure of a module, computed from its sources."""

import ast
import subprocess
import sys
import time
from pathlib import Path

import pytest

from roadmap.bundle import code

TREE = {
    "shop/__init__.py": "'''A shop.'''\n",
    "shop/till.py": "import json\nfrom shop import prices\nimport shop.stock.shelves as s\n",
    "shop/prices.py": "def of():\n    from shop.stock.count import one\n    return one\n",
    "shop/stock/__init__.py": "from .labels import *\n",
    "shop/stock/shelves.py": "import os.path, yaml\nif TYPE_CHECKING:\n    import shop.unused\n",
    "shop/stock/count.py": "from ..prices import of as one\n",
    "shop/stock/labels.py": "PAPER = 1\n",
    "shop/office.py": "raise SystemExit('never run')\nfrom . import till\n",
    "shop/unused.py": "",
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name, text in TREE.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_packages_functions_and_cycles_are_followed_without_running_code(tree: Path) -> None:
    assert code.closure("shop.office", root=tree) == sorted(set(TREE) - {"shop/__init__.py", "shop/unused.py"})
    assert code.closure("shop.stock.shelves", root=tree) == [
        "shop/stock/__init__.py", "shop/stock/labels.py", "shop/stock/shelves.py"
    ]  # fmt: skip
    assert "shop" not in sys.modules


def test_imports_of_an_excluded_file_are_excluded(tree: Path) -> None:
    kept = code.closure("shop.till", root=tree, beyond=frozenset({"shop/stock/__init__.py", "shop/prices.py"}))
    assert kept == ["shop/stock/shelves.py", "shop/till.py"]


def test_an_unknown_root_module_is_an_error(tree: Path) -> None:
    for name in ("json", "shop.gone", "gone"):
        with pytest.raises(ModuleNotFoundError, match=name):
            code.closure(name, root=tree)
    assert code.code_sha256("shop.gone", tree) is None


def test_the_hash_covers_names_and_contents_of_the_closure(
    tree: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    paths = code.closure("shop.till", root=tree)
    before = code.sha256_of(paths, tree)
    (tree / "shop/unused.py").write_text("changed = True\n")
    assert code.sha256_of(code.closure("shop.till", root=tree), tree) == before
    (tree / "shop/stock/labels.py").write_text("changed = True\n")
    assert code.sha256_of(paths, tree) != before


def test_the_closure_matches_pythons_imports() -> None:
    """For every predictor, except imports inside functions: the closure has those whether they run or not."""
    for project in ("titanic", "stocks", "mini_gpt"):
        files = "(vars(module).get('__file__') for module in sys.modules.values())"
        command = [sys.executable, "-c", f"import sys, pipelines.{project}.predict; print(*{files})"]
        done = subprocess.run(command, cwd=code.ROOT, capture_output=True, text=True, check=True)
        rooms = [code.ROOT / room for room in ("pipelines", "roadmap", "models", "serving")]
        ours = [file for file in map(Path, done.stdout.split()) if any(file.is_relative_to(room) for room in rooms)]
        run = [file for file in ours if not all(isinstance(n, ast.Expr) for n in ast.parse(file.read_text()).body)]
        found = code.closure(f"pipelines.{project}.predict")
        assert found == sorted(file.relative_to(code.ROOT).as_posix() for file in run)


def test_computing_the_closure_is_fast() -> None:
    program = (
        "import time; from roadmap.bundle.code import code_sha256; started = time.process_time();"
        "code_sha256('pipelines.titanic.predict'); code_sha256('pipelines.mini_gpt.predict');"
        "print(time.process_time() - started)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=code.ROOT, capture_output=True, text=True)
    assert float(done.stdout) < 0.1, "50 ms of CPU per project"
    started = time.process_time()
    code.code_sha256("pipelines.titanic.predict")
    for _ in range(1000):
        code.code_sha256("pipelines.titanic.predict")
    assert time.process_time() - started < 0.1
