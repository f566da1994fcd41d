"""Where bundles come from: a folder of <project>/bundle."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple, Protocol

from serving.bundle import MANIFEST


class SourceError(Exception):
    """Why it can't be told what is there; the message says what to do."""


class Found(NamedTuple):
    """A bundle as it is now."""

    fingerprint: str  # another one means other content
    fetch: Callable[[], Path]  # to a folder of this machine


class Source(Protocol):
    def find(self) -> dict[str, Found | SourceError]:
        """What there is, by project."""


class Folder:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def find(self) -> dict[str, Found | SourceError]:
        bundles = [manifest.parent for manifest in sorted(self.folder.glob(f"*/bundle/{MANIFEST}"))]
        return {bundle.parent.name: Found(fingerprint(bundle), partial(Path, bundle)) for bundle in bundles}


def fingerprint(folder: Path) -> str:
    stats = [(path.as_posix(), path.stat()) for path in sorted(folder.rglob("*"))]
    return repr([(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats])


def open_source(bundles: str, cache: Path) -> Source:
    return Folder(Path(bundles))
