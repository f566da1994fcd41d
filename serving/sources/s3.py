"""Bundles under a prefix of an S3 bucket, or of a compatible store (AWS_ENDPOINT_URL)."""

import hashlib
import re
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from roadmap.bundle import MANIFEST
from serving.sources.base import DiscoveredBundle, SourceError, project
from serving.sources.cache import keep

MAX_OBJECTS = 20_000  # under the prefix, which is listed at every poll, a thousand objects per request
TROUBLE = {
    "NoSuchBucket": "no such bucket",
    "AccessDenied": "access denied; allow s3:ListBucket on the bucket and s3:GetObject below the prefix",
    "InvalidAccessKeyId": "unknown access key; check AWS_ACCESS_KEY_ID",
    "SignatureDoesNotMatch": "wrong secret key; check AWS_SECRET_ACCESS_KEY",
    "ExpiredToken": "the session token has expired; renew AWS_SESSION_TOKEN",
}

Answer = TypeVar("Answer")


class S3Object(NamedTuple):
    name: str  # below the prefix
    etag: str
    size: int


class S3Prefix:
    """<prefix>/<project>/bundle, <prefix>/<project>, or a prefix that is one bundle."""

    def __init__(self, bucket: str, prefix: str, cache: Path, folders: Sequence[str] = ("bundle",)) -> None:
        self.folders = folders
        self.bucket, self.prefix, self.cache = bucket, f"{prefix.strip('/')}/".lstrip("/"), cache
        self.projects: dict[str, str] = {}  # of manifests, by ETag

    def find(self) -> dict[str, DiscoveredBundle | SourceError]:
        """The bundles by project. Raises: SourceError: the bucket cannot be listed."""
        objects = self._ask(self._list)
        found: dict[str, DiscoveredBundle | SourceError] = {}
        for name, root in roots([one.name for one in objects], self.folders).items():
            inside = sorted(one for one in objects if one.name.startswith(root))
            if not name:
                etag = next(one.etag for one in inside if one.name == root + MANIFEST)
                if etag not in self.projects:
                    self.projects = {etag: project(self._read(root, MANIFEST), self.bucket)}
                name = self.projects[etag]
            mark = hashlib.sha256(repr(inside).encode()).hexdigest()
            found[name] = DiscoveredBundle(mark, partial(self._fetch, root))
        return found

    def _fetch(self, root: str) -> Path:
        return keep(self.cache, self._address(root), partial(self._read, root), partial(self._save, root))

    def _address(self, root: str = "") -> str:
        return f"s3://{self.bucket}/{self.prefix}{root}".rstrip("/")

    @cached_property
    def client(self) -> Any:
        """A client with at most two retries, so that a poll ends within a minute."""
        import boto3
        from botocore.config import Config

        retries = {"mode": "standard", "total_max_attempts": 3}
        return boto3.Session().client("s3", config=Config(connect_timeout=5, read_timeout=15, retries=retries))

    def _list(self) -> list[S3Object]:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=self.prefix)
        objects: list[S3Object] = []
        for page in pages:
            objects += [
                S3Object(one["Key"].removeprefix(self.prefix), one["ETag"], one["Size"])
                for one in page.get("Contents", ())
            ]
            if len(objects) > MAX_OBJECTS:
                raise SourceError(
                    f"{self._address()}: found more than {MAX_OBJECTS} objects; use the prefix of the bundles"
                )
        return objects

    def _read(self, root: str, name: str) -> bytes:
        key = self.prefix + root + name
        return self._ask(lambda: self.client.get_object(Bucket=self.bucket, Key=key)["Body"].read(), root + name)

    def _save(self, root: str, name: str, path: Path) -> None:
        key = self.prefix + root + name
        self._ask(lambda: self.client.download_file(self.bucket, key, str(path)), root + name)

    def _ask(self, call: Callable[[], Answer], about: str = "") -> Answer:
        """Calls the API; errors become SourceErrors."""
        try:
            from boto3.exceptions import Boto3Error
            from botocore.exceptions import BotoCoreError, ClientError
        except ImportError:
            raise SourceError(f"{self._address()}: found no boto3; run `pip install boto3`") from None
        try:
            return call()
        except ClientError as error:
            code, message = error.response["Error"]["Code"], error.response["Error"].get("Message", "")
            why = TROUBLE.get(code) or f"{code} {message}".strip()
        except (BotoCoreError, Boto3Error, ValueError) as error:  # ValueError: AWS_ENDPOINT_URL is not an address
            why = str(error).splitlines()[0]
        raise SourceError(f"{self._address(about)}: {why}")


def roots(names: Iterable[str], folders: Sequence[str] = ("bundle",)) -> dict[str, str]:
    """Project -> prefix of its bundle; the project is "" if the whole prefix is one bundle."""
    names = set(names)
    for root in ("", *(f"{folder}/" for folder in folders)):
        if root + MANIFEST in names:
            return {"": root}
    found: dict[str, str] = {}
    for folder in ("", *(f"{folder}/" for folder in reversed(folders))):  # later ones win
        for name in names:
            if match := re.fullmatch(rf"([^/]+)/{re.escape(folder + MANIFEST)}", name):
                found[match[1]] = name.removesuffix(MANIFEST)
    return found
