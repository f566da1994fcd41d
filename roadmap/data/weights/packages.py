"""Weights inside an installed Python package: for networks that reach a package index and no hub."""

import importlib.machinery
import sys
from pathlib import Path

from roadmap.io.errors import UsageError

APART = Path(sys.prefix) / "published"  # where `make weights` puts them, away from the libraries


def folder_of(package: str, file: str) -> Path:
    """The folder with `file` in the package, which is not imported.

    Raises:
        UsageError: no such package, or the file is in none of its folders.
    """
    spec = (
        importlib.machinery.PathFinder.find_spec(package, [*sys.path, str(APART)]) if package.isidentifier() else None
    )
    places = list(spec.submodule_search_locations or ()) if spec else []
    if not places:
        raise UsageError(
            f"weights: found no folder, hub id (owner/name) or installed package {package!r}; expected one of them; "
            "`make weights` installs those that the tests use"
        )
    found = sorted(path for place in places for path in Path(place).rglob(file))
    if not found:
        raise UsageError(f"weights: {package}: found no {file} in the package; expected one")
    return found[0].parent
