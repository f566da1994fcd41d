"""Bundles that were downloaded: <cache>/<project>/<hash of the manifest>/, whole and verified, or not there.

The manifest holds the hash of every file, so a bundle that lies here is never downloaded again, whatever the source.
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

KEPT = 3  # versions of a project: the present one, the one before it, and one to go back to
ABANDONED = 24 * 3600  # seconds after which a draft belongs to a process that was killed

log = logging.getLogger("serving")


def keep(cache: Path, where: str, read: Callable[[str], bytes], save: Callable[[str, Path], None]) -> Path:
    """The bundle at `where`, from the cache or downloaded into it.

    `read` gives the content of a file of the bundle, `save` writes one to a path. Processes may do this side by side.

    Raises:
        BundleError: what lies there is no sound bundle; nothing of it is kept.
        SourceError: the cache cannot be written, or what `read` and `save` raise.
    """
    content = read(MANIFEST)
    manifest = checked(content, f"{where}/{MANIFEST}")
    home = cache / manifest.project
    folder = home / hashlib.sha256(content).hexdigest()[:16]
    try:
        if is_sound(folder):
            folder.touch()  # the most recently used are kept
            return folder
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".", dir=home) as temporary:
            draft = Path(temporary, "draft")
            download(draft, where, manifest, save)
            (draft / MANIFEST).write_bytes(content)
            with locked(home):
                if not is_sound(folder):  # otherwise another process was quicker
                    if folder.exists():
                        folder.rename(Path(temporary, "damaged"))
                    draft.rename(folder)
        prune(home)
    except OSError as error:
        raise SourceError(
            f"{error.filename or home}: {error.strerror}; the cache of bundles must be writable, "
            "--cache or SERVING_CACHE names another folder"
        ) from None
    return folder


@contextlib.contextmanager
def locked(home: Path) -> Iterator[None]:
    """One process at a time puts a version in its place; whoever dies lets go."""
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
            raise BundleError(f"{where}: {name!r} is not the name of a file inside the bundle")
    return manifest


def is_sound(folder: Path) -> bool:
    """Whether a whole bundle lies there, hashes included."""
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
    """Removes all but the last versions that were used. Who has loaded one no longer needs its files."""
    ages = [(path.stat().st_mtime, path) for path in home.iterdir()]
    versions = sorted((age, path) for age, path in ages if not path.name.startswith("."))
    drafts = [path for age, path in ages if path.name.startswith(".") and age < time.time() - ABANDONED]
    for path in [path for _, path in versions[:-KEPT]] + drafts:
        shutil.rmtree(path, ignore_errors=True)
