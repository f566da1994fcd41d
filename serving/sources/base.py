"""What every place of bundles provides."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Protocol

from roadmap.io.errors import Unavailable


class SourceError(Unavailable):
    """Why it can't be told what is there, or it can't be fetched now; the message says where and what to do."""


class DiscoveredBundle(NamedTuple):
    """A bundle as it is now."""

    fingerprint: str  # another one means other content; costs no download
    fetch: Callable[[], Path]  # to a folder of this machine; raises SourceError, BundleError
    share: float | None = None  # of the callers who shall get it as a challenger, where the source says so


class BundleSource(Protocol):
    def find(self) -> dict[str, DiscoveredBundle | SourceError]:
        """What there is, by project; the error where that can't be told.

        Raises:
            SourceError: nothing at all can be told.
        """


def project(manifest: bytes, otherwise: str) -> str:
    """Whose bundle it is. What is no manifest gets a name too, so that its refusal has a place to be shown."""
    try:
        name = json.loads(manifest)["project"]
    except (ValueError, KeyError, TypeError):
        return otherwise
    return name if isinstance(name, str) else otherwise
