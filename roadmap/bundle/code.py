"""The code behind a module: the files of this repository that it imports, read from the sources without running them.

The closure is static. `import x`, `from x import y`, the `__init__` of every package on the way and imports inside
functions are in it; a module that is loaded by a computed name is not, so whoever loads one names it as a root as well.
"""

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]  # where `roadmap`, `pipelines`, `models` and `serving` lie


def closure(*modules: str, root: Path = ROOT, beyond: frozenset[str] = frozenset()) -> list[str]:
    """Paths from `root`, sorted, of the files that importing `modules` may run.

    beyond: paths that are left out, and with them what only they import

    Raises:
        ModuleNotFoundError: a module of `modules` is no file under `root`.
    """
    found: set[str] = set()
    for name in modules:
        if _file(name, root) is None:
            raise ModuleNotFoundError(f"{name}: no such file under {root}", name=name)
    left = [path for name in modules for path in _files(name, root)]
    while left:
        path = left.pop()
        if path not in found and path not in beyond:
            found.add(path)
            left += (file for name in imported(root / path) for file in _files(name, root))
    return sorted(found)


@cache
def code_sha256(module: str, root: Path = ROOT) -> str | None:
    """One hash of the closure's files, names and contents; None where the module is no file under `root`.

    A process computes it once per module: what it runs is what it has imported, whatever happens to the file later.
    """
    try:
        return sha256_of(closure(module, root=root), root)
    except ModuleNotFoundError:
        return None


def sha256_of(paths: list[str], root: Path = ROOT) -> str:
    digests = (f"{path} {hashlib.sha256((root / path).read_bytes()).hexdigest()}\n" for path in paths)
    return hashlib.sha256("".join(digests).encode()).hexdigest()


@cache
def imported(path: Path) -> tuple[str, ...]:
    """Every name that a source file may import: `from a import b` is `a` and `a.b`, one of which is no module."""
    names: dict[str, None] = {}
    for node in ast.walk(ast.parse(path.read_bytes(), str(path))):
        if isinstance(node, ast.Import):
            names.update(dict.fromkeys(alias.name for alias in node.names))
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.update(dict.fromkeys([node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]))
    return tuple(names)


def _files(module: str, root: Path) -> Iterator[str]:
    """The file of a module, if it is one of ours, and those of the packages around it."""
    parts = module.split(".")
    for end in range(1, len(parts) + 1):
        if file := _file(".".join(parts[:end]), root):
            yield file


@cache
def _file(module: str, root: Path) -> str | None:
    path = module.replace(".", "/")
    return next((name for name in (f"{path}.py", f"{path}/__init__.py") if (root / name).is_file()), None)
