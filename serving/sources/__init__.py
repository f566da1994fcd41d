"""Sources of bundles: a folder, S3, MLflow's registry, a hub, or several combined."""

import logging
import re
from collections.abc import Sequence
from pathlib import Path

from serving.sources.base import BundleSource, DiscoveredBundle, SourceError
from serving.sources.folder import Folder

__all__ = ["BundleSource", "DiscoveredBundle", "SourceError", "open_source"]

FORMS = (
    "a folder, s3://<bucket>/<prefix>, models:/<name>@<alias>, models:/<name>/<version>, "
    "models:/@<alias> for every model with this alias, or hub://<owner>/<name>[@<revision>]; comma-separated"
)
S3 = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/(.*))?", re.DOTALL)
MODEL = re.compile(r"models:/([^/@]+)?(?:@([\w.-]+)|(?<=[^/])/([1-9][0-9]*))")
HUB = re.compile(r"hub://([\w.-]+/[\w.-]+)(?:@([\w./-]+))?")

log = logging.getLogger("serving")


class Several:
    """Combined sources. The earlier one wins if two have a bundle of the same name."""

    def __init__(self, sources: list[BundleSource]) -> None:
        self.sources = sources
        self.names: list[set[str]] = [set() for _ in sources]

    def find(self) -> dict[str, DiscoveredBundle | SourceError]:
        """The bundles of all sources. Raises: SourceError: none of them can be listed."""
        found: dict[str, DiscoveredBundle | SourceError] = {}
        errors = []
        for index, source in enumerate(self.sources):
            try:
                there = source.find()
                self.names[index] = set(there)
            except SourceError as error:
                there = dict.fromkeys(self.names[index], error)  # its known names: they are not removed
                errors.append(error)
            found = {**there, **found}
        if errors and not found:
            raise errors[0]
        for failed in errors:
            log.warning("%s", failed)
        return found


def open_source(bundles: str, cache: Path, folders: Sequence[str] = ("bundle",)) -> BundleSource:
    """The source named by `bundles`; downloads are kept in `cache`.

    folders: candidates for a bundle's folder below <project>/, in a folder or on S3; the first existing one is used.

    Raises:
        SourceError: it is not a source.
    """
    sources: list[BundleSource] = []
    models: list[tuple[str, str, str]] = []
    for place in (part.strip() for part in bundles.split(",")):
        if match := S3.fullmatch(place):
            from serving.sources.s3 import S3Prefix

            sources.append(S3Prefix(match[1], match[2] or "", cache, folders))
        elif match := MODEL.fullmatch(place):
            models.append((match[1] or "", match[2] or "", match[3] or ""))
            if len(models) == 1:  # they are one source, with one query
                from serving.sources.registry import Registry

                sources.append(Registry(models, cache, shares="challenger" in folders))
        elif match := HUB.fullmatch(place):
            from serving.sources.hub import HubRepository

            sources.append(HubRepository(match[1], match[2] or "", cache))
        elif not place or re.match(r"[A-Za-z][\w+.-]*:/", place):
            raise SourceError(f"bundles: found {place!r}; expected {FORMS}")
        else:
            sources.append(Folder(Path(place), folders))
    return Several(sources)
