"""Atomic writes: a file or folder is written under a temporary name beside its destination, synced, then renamed.

Without the sync, a power failure may leave the new name with no content: the rename can reach the disk first.
"""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def atomic_file(path: Path, mode: int = 0o644) -> Iterator[Path]:
    """A temporary file in the same folder, which replaces `path` at the end of the block.

    An error leaves `path` unchanged. The temporary name begins with a dot, so that readers of the folder skip it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    os.close(handle)
    draft = Path(name)
    try:
        draft.chmod(mode)
        yield draft
        replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def write_atomically(path: Path, content: str | bytes, mode: int = 0o644) -> None:
    """Writes the content atomically."""
    with atomic_file(path, mode) as draft:
        draft.write_bytes(content.encode() if isinstance(content, str) else content)


@contextlib.contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """A temporary folder beside `path`, which replaces it at the end of the block; an error leaves `path` unchanged."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        draft.chmod(0o755)
        yield draft
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
        replace(draft, path)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def replace(draft: Path, path: Path) -> None:
    """Renames a written file or folder to `path`, once its content is on the disk."""
    for place in [*draft.rglob("*"), draft] if draft.is_dir() else [draft]:
        _sync(place)
    draft.replace(path)
    _sync(path.parent)


def _sync(path: Path) -> None:
    if path.is_symlink():
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
