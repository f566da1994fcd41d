"""The interface of bundle sources."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Protocol

from roadmap.io.errors import Unavailable


class SourceError(Unavailable):
    """The source cannot be listed or read now; the message has its address and what to do."""


class DiscoveredBundle(NamedTuple):
    """A bundle in its present version."""

    fingerprint: str  # changes with the content; costs no download
    fetch: Callable[[], Path]  # downloads to a local folder; raises SourceError, BundleError
    share: float | None = None  # fraction of callers routed to it as a challenger, if the source has one


class BundleSource(Protocol):
    def find(self) -> dict[str, DiscoveredBundle | SourceError]:
        """The bundles by project; an error in place of an unreadable one.

        Raises:
            SourceError: the source cannot be listed.
        """


def project(manifest: bytes, otherwise: str) -> str:
    """The project of a manifest. An invalid one gets a name too, so that its refusal can be shown."""
    try:
        name = json.loads(manifest)["project"]
    except (ValueError, KeyError, TypeError):
        return otherwise
    return name if isinstance(name, str) else otherwise
