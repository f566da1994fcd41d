"""The import closure of a module within this repository, read from the sources without running them.

The closure is static. `import x`, `from x import y`, the `__init__` of every package on the way and imports inside
functions count; imports under TYPE_CHECKING do not. A module loaded by a computed name is not found,
so its loader passes it as a further root. A file with nothing but a docstring is left out.
"""

import ast
import hashlib
import os
import subprocess
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]  # where `roadmap`, `pipelines`, `models` and `serving` lie


def closure(*modules: str, root: Path = ROOT, beyond: frozenset[str] = frozenset()) -> list[str]:
    """Sorted paths, relative to `root`, of the files that importing `modules` may run.

    beyond: paths to leave out, together with what only they import

    Raises:
        ModuleNotFoundError: a module has no file under `root`.
    """
    for name in modules:
        if _file(name, root) is None:
            raise ModuleNotFoundError(f"{name}: no such file under {root}", name=name)
    found, seen, left = [], set(beyond), list(modules)
    while left:
        for path in _files(left.pop(), root):
            if path not in seen:
                seen.add(path)
                if (names := imported(path, root)) is not None:
                    found.append(path)
                    left += names
    return sorted(found)


@cache
def code_sha256(module: str, root: Path = ROOT) -> str | None:
    """One hash over the names and contents of the closure; None if the module has no file under `root`.

    Cached per process: a running process keeps the code it imported, even if the file changes later.
    """
    try:
        return sha256_of(closure(module, root=root), root)
    except ModuleNotFoundError:
        return None


def sha256_of(paths: Iterable[str], root: Path = ROOT) -> str:
    digests = (f"{path} {hashlib.sha256((root / path).read_bytes()).hexdigest()}\n" for path in paths)
    return hashlib.sha256("".join(digests).encode()).hexdigest()


@cache
def imported(path: str, root: Path = ROOT) -> tuple[str, ...] | None:
    """Every name that a source file may import: `from a import b` gives `a` and `a.b`.

    None if the file has no statement.
    """
    tree = ast.parse((root / path).read_bytes(), path)
    if not tree.body[ast.get_docstring(tree) is not None :]:
        return None
    names: dict[str, None] = {}
    left: list[ast.AST] = [tree]
    while left:
        node = left.pop()
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            left += node.orelse
            continue
        left += ast.iter_child_nodes(node)
        if isinstance(node, ast.Import):
            names.update(dict.fromkeys(alias.name for alias in node.names))
        elif isinstance(node, ast.ImportFrom):
            around = Path(path).parts[: -node.level] if node.level else ()
            module = ".".join([*around, *([node.module] if node.module else [])])
            names.update(dict.fromkeys([module, *(f"{module}.{alias.name}" for alias in node.names)]))
    return tuple(names)


def _files(module: str, root: Path) -> Iterator[str]:
    """The module's file, if it is in this repository, and the `__init__` files of its packages."""
    parts = module.split(".")
    for end in range(1, len(parts) + 1):
        if file := _file(".".join(parts[:end]), root):
            yield file


@cache
def _file(module: str, root: Path) -> str | None:
    path = module.replace(".", "/")
    return next((name for name in (f"{path}.py", f"{path}/__init__.py") if (root / name).is_file()), None)


def git_commit() -> str | None:
    """The commit, with a suffix if the working tree is dirty."""
    try:
        done = subprocess.run(["git", "describe", "--always", "--dirty", "--abbrev=40"], capture_output=True, text=True)
    except FileNotFoundError:
        return os.environ.get("GIT_COMMIT")
    return done.stdout.strip() or os.environ.get("GIT_COMMIT")  # an image has no .git
