"""Bundles in a local folder."""

import hashlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from roadmap.bundle import MANIFEST
from serving.sources.base import DiscoveredBundle, SourceError, project


class Folder:
    """<folder>/<project>/bundle as training writes it, <folder>/<project>, or a folder that is one bundle.

    `names`: candidates for a bundle's folder below <project>; the first existing one is used.

    Bundles are served in place. Training replaces whole folders, and the fingerprint is taken before the files are
    read: a half-replaced bundle fails its hashes and is retried, because the next fingerprint differs.
    """

    def __init__(self, folder: Path, names: Sequence[str] = ("bundle",)) -> None:
        self.folder, self.names = folder, names

    def find(self) -> dict[str, DiscoveredBundle | SourceError]:
        """The bundles by project; an error in place of an unreadable one."""
        found: dict[str, DiscoveredBundle | SourceError] = {}
        for name, bundle in self.bundles().items():
            try:
                found[name] = DiscoveredBundle(fingerprint(bundle), partial(Path, bundle))
            except OSError as error:
                found[name] = SourceError(f"{bundle}: cannot be read: {error.strerror}")
        return found

    def bundles(self) -> dict[str, Path]:
        """Project -> folder of its bundle."""
        for one in (self.folder, *(self.folder / name for name in self.names)):
            try:
                return {project((one / MANIFEST).read_bytes(), self.folder.resolve().name): one}
            except OSError:
                continue
        found = {manifest.parent.name: manifest.parent for manifest in sorted(self.folder.glob(f"*/{MANIFEST}"))}
        for name in reversed(self.names):
            found |= {path.parents[1].name: path.parent for path in sorted(self.folder.glob(f"*/{name}/{MANIFEST}"))}
        return found


def fingerprint(bundle: Path) -> str:
    """A hash of the manifest, which has the files' hashes, and of each file's metadata."""
    mark = hashlib.sha256((bundle / MANIFEST).read_bytes())
    for path in sorted(bundle.rglob("*")):
        stat = path.stat()
        mark.update(repr((path.relative_to(bundle).as_posix(), stat.st_size, stat.st_mtime_ns)).encode())
    return mark.hexdigest()
