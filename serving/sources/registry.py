"""Bundles in MLflow's registry: `models:/mnist@champion` is the present version of the alias.

MLflow itself is not imported: it would cost two seconds and 300 MB. A server is queried over its REST API, and the
SQLite file of the default store is read directly.
"""

import os
from functools import partial
from pathlib import Path
from urllib.parse import unquote, urlsplit

from roadmap.bundle import MANIFEST, BundleError
from serving.sources.base import DiscoveredBundle, SourceError
from serving.sources.cache import keep
from serving.sources.mlflow import MlflowDatabase, MlflowServer, Unreachable, Version

SHARE = "share"  # a tag of a version: its fraction of callers as a challenger


class Registry:
    """`wanted`: (name, alias, version), each "" if absent; without a name, all models with the alias.

    shares: whether to read SHARE, one more query per version.
    """

    def __init__(self, wanted: list[tuple[str, str, str]], cache: Path, shares: bool = False) -> None:
        self.wanted, self.cache, self.shares = wanted, cache, shares
        self.mlflow = connect(os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///mlflow.db")

    def find(self) -> dict[str, DiscoveredBundle | SourceError]:
        """The bundles by model. Raises: SourceError: the models with an alias cannot be listed."""
        found: dict[str, DiscoveredBundle | SourceError] = {}
        down: Unreachable | None = None
        for name, alias, number in self.wanted:
            try:
                if down:  # not queried again for every name: each would time out
                    raise down
                versions = [self.mlflow.version(name, alias, number)] if name else self.mlflow.having(alias)
            except SourceError as error:
                if not name:
                    raise
                down = error if isinstance(error, Unreachable) else None
                found.setdefault(name, error)
                continue
            for version in versions:
                share = self.share(version) if self.shares else None
                found.setdefault(version.name, DiscoveredBundle(repr(version), partial(self.fetch, version), share))
        return found

    def share(self, version: Version) -> float | None:
        """The share; 0 if invalid, so that no caller is routed there by mistake."""
        try:
            tag = self.mlflow.tags(version).get(SHARE)
            share = None if tag is None else float(tag)
        except (SourceError, ValueError):
            return 0.0
        return share if share is None or 0 <= share <= 1 else 0.0

    def fetch(self, version: Version) -> Path:
        """Folder of its bundle, from any location of artifacts. Raises: SourceError."""
        location = self.mlflow.location(version)
        address = urlsplit(location)
        if address.scheme == "s3":
            return self._from_s3(address.netloc, address.path.strip("/"), version)
        if address.scheme == "mlflow-artifacts" and isinstance(self.mlflow, MlflowServer):
            return self._from_server(self.mlflow, address.path.strip("/"), version)
        if address.scheme in ("", "file"):
            return self._from_folder(self._local(location), version)
        raise SourceError(
            f"{version}: location: found {location}; expected s3://, file://, or mlflow-artifacts:/ "
            "with a server in MLFLOW_TRACKING_URI"
        )

    def _local(self, location: str) -> Path:
        """A path or a file: URI. What lies in mlruns/ beside a local store is found there, wherever it once was."""
        plain = Path(location.removeprefix("file://"))  # as earlier versions wrote URIs, without escapes
        path = plain if plain.exists() else Path(unquote(urlsplit(location).path))
        _, mlruns, inside = str(path).rpartition("/mlruns/")
        if mlruns and isinstance(self.mlflow, MlflowDatabase):
            beside = self.mlflow.file.absolute().parent / "mlruns" / inside
            return beside if beside.is_dir() else path
        return path

    # roadmap/promotion/registry.py logs a model whose folder artifacts/ holds the bundle, named as on disk.

    def _from_folder(self, folder: Path, version: Version) -> Path:
        if not folder.is_dir():
            raise SourceError(
                f"{version}: location: found {folder}, which does not exist on this machine; "
                "let the MLflow server serve artifacts, or keep them on S3"
            )
        for manifest in folder.glob(f"artifacts/*/{MANIFEST}"):
            return manifest.parent
        raise no_bundle(version)

    def _from_s3(self, bucket: str, prefix: str, version: Version) -> Path:
        from serving.sources.s3 import S3Prefix

        for found in S3Prefix(bucket, f"{prefix}/artifacts", self.cache).find().values():
            if isinstance(found, DiscoveredBundle):
                return found.fetch()
        raise no_bundle(version)

    def _from_server(self, server: MlflowServer, path: str, version: Version) -> Path:
        folders = (f"{path}/artifacts/{folder}" for folder in server.files(f"{path}/artifacts"))
        root = next((folder for folder in folders if MANIFEST in server.files(folder)), None)
        if root is None:
            raise no_bundle(version)

        def save(name: str, to: Path) -> None:
            server.save(f"{root}/{name}", to)

        return keep(self.cache, str(version), lambda name: server.read(f"{root}/{name}"), save)


def no_bundle(version: Version) -> BundleError:
    """The error for a version without a bundle."""
    return BundleError(f"{version}: found no artifacts/*/{MANIFEST}; expected a version logged by `pipelines.register`")


def connect(uri: str) -> MlflowDatabase | MlflowServer:
    """
    Raises:
        SourceError: an unsupported kind of store.
    """
    if uri.startswith("sqlite:///"):
        return MlflowDatabase(Path(unquote(uri.removeprefix("sqlite:///"))))
    if uri.startswith(("http://", "https://")):
        return MlflowServer(uri)
    raise SourceError(
        f"MLFLOW_TRACKING_URI: found {uri.partition(':')[0]!r}; set it to the http(s):// address of an "
        "MLflow server over this store, or to sqlite:///<file>"
    )
