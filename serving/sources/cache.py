"""The cache of downloads: <cache>/<project>/<hash of the manifest>/, complete and verified.

The manifest has the hash of every file, so a cached bundle is never downloaded again, from any source.
"""

import contextlib
import fcntl
import hashlib
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

from pydantic import ValidationError

from roadmap.bundle import MANIFEST, Bundle, BundleError, Manifest, sha256
from serving.sources.base import SourceError

KEPT = 3  # versions per project: the current, the previous, and one to roll back to
ABANDONED = 24 * 3600  # seconds after which a temporary folder is of a killed process

log = logging.getLogger("serving")


def keep(cache: Path, where: str, read: Callable[[str], bytes], save: Callable[[str, Path], None]) -> Path:
    """The bundle at `where`, from the cache or after a download.

    `read` returns a file of the bundle, `save` downloads one to a path. Safe for concurrent processes.

    Raises:
        BundleError: the bundle is damaged; nothing of it is kept.
        SourceError: the cache cannot be written, or what `read` and `save` raise.
    """
    content = read(MANIFEST)
    manifest = checked(content, f"{where}/{MANIFEST}")
    home = cache / manifest.project
    folder = home / hashlib.sha256(content).hexdigest()[:16]
    try:
        if is_sound(folder):
            folder.touch()  # marks it as recently used
            return folder
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".", dir=home) as temporary:
            draft = Path(temporary, "draft")
            download(draft, where, manifest, save)
            (draft / MANIFEST).write_bytes(content)
            with locked(home):
                if not is_sound(folder):  # otherwise another process was faster
                    if folder.exists():
                        folder.rename(Path(temporary, "damaged"))
                    draft.rename(folder)
        prune(home)
    except OSError as error:
        raise SourceError(
            f"{error.filename or home}: {error.strerror}; expected a writable cache of bundles; set "
            "--cache or SERVING_CACHE to another folder"
        ) from None
    return folder


@contextlib.contextmanager
def locked(home: Path) -> Iterator[None]:
    """A lock between processes, released if its holder dies."""
    handle = os.open(home, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def checked(content: bytes, where: str) -> Manifest:
    """Raises: BundleError: no manifest, or one with names outside the bundle."""
    try:
        manifest = Manifest.model_validate_json(content)
    except ValidationError as error:
        raise BundleError(f"{where}: {error.errors()[0]['msg']}") from None
    for name in manifest.files:
        if PurePosixPath(name).is_absolute() or {"", ".", ".."} & set(name.split("/")) or "\\" in name:
            raise BundleError(f"{where}: {name!r} is not a file name inside the bundle")
    return manifest


def is_sound(folder: Path) -> bool:
    """Whether the folder is a complete bundle with matching hashes."""
    try:
        Bundle(folder)
    except BundleError:
        return False
    return True


def download(draft: Path, where: str, manifest: Manifest, save: Callable[[str, Path], None]) -> None:
    """Raises: BundleError: a file's content differs from the manifest."""
    started = time.perf_counter()
    size = 0
    for name, expected in manifest.files.items():
        path = draft / name
        path.parent.mkdir(parents=True, exist_ok=True)
        save(name, path)
        if sha256(path) != expected:
            raise BundleError(f"{where}/{name}: content differs from the manifest (sha256)")
        size += path.stat().st_size
    seconds = time.perf_counter() - started
    log.info("%s: version %s fetched, %.1f MB in %.1f s", where, manifest.version, size / 1e6, seconds)


def prune(home: Path) -> None:
    """Removes all but the most recently used versions. Loaded models don't need their files."""
    ages = [(path.stat().st_mtime, path) for path in home.iterdir()]
    versions = sorted((age, path) for age, path in ages if not path.name.startswith("."))
    drafts = [path for age, path in ages if path.name.startswith(".") and age < time.time() - ABANDONED]
    for path in [path for _, path in versions[:-KEPT]] + drafts:
        shutil.rmtree(path, ignore_errors=True)
