"""Deployment records: who deployed what where, the steps and the result.

One JSON object per deployment. They are kept with the project's artifacts, and for targets on AWS also in the
stage's bucket, so that other machines know the deployed version and the one to roll back to.
"""

import json
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from infra.deploy.target import DeployError
from roadmap.io.actor import who
from roadmap.io.json import JsonObject


class DeploymentLog(Protocol):
    def add(self, record: JsonObject) -> None: ...

    def all(self) -> list[JsonObject]:
        """Oldest first."""


class FileDeploymentLog:
    """A line per deployment in artifacts/<project>/deployments.jsonl, never rewritten."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def add(self, record: JsonObject) -> None:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with self.file.open("a") as file:
            file.write(json.dumps(record) + "\n")

    def all(self) -> list[JsonObject]:
        return [json.loads(line) for line in self.file.read_text().splitlines()] if self.file.exists() else []


class S3DeploymentLog:
    """An object per deployment, deployments/<project>/<target>/<time>-<id>.json."""

    def __init__(self, s3: Any, bucket: str, prefix: str) -> None:
        self.s3, self.bucket, self.prefix = s3, bucket, prefix

    def add(self, record: JsonObject) -> None:
        key = f"{self.prefix}/{record['began']}-{record['id']}.json"
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=json.dumps(record).encode())

    def all(self) -> list[JsonObject]:
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=f"{self.prefix}/")
        keys = sorted(one["Key"] for page in pages for one in page.get("Contents", ()))
        return [json.loads(self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read()) for key in keys]


class Deployment:
    """A running deployment: `say` prints a line of progress and records it."""

    def __init__(self, **about: object) -> None:
        self.started = time.monotonic()
        self.record: JsonObject = {"id": uuid.uuid4().hex[:8], "began": now(), "by": who(), **about, "steps": []}

    def say(self, line: str) -> None:
        seconds = round(time.monotonic() - self.started, 1)
        print(f"{seconds:7.1f} s  {line}", flush=True)
        self.record["steps"].append({"at": seconds, "did": line})

    def ended(self, result: str, reason: str | None = None) -> JsonObject:
        """The finished record."""
        seconds = round(time.monotonic() - self.started, 1)
        return {**self.record, "ended": now(), "seconds": seconds, "result": result, "reason": reason}


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def deployed(records: list[JsonObject]) -> Iterator[JsonObject]:
    """Deployments that changed the served version, latest first."""
    return (one for one in reversed(records) if one["result"] == "deployed")


def before(records: list[JsonObject], serving: str | None) -> str:
    """The version that `serving` replaced.

    Raises:
        DeployError: no record has one.
    """
    for one in deployed(records):
        if one["to"] == serving and one["from"] and one["from"] != serving:
            return str(one["from"])
    for one in deployed(records):  # if the deployment of `serving` was killed and its repetition had nothing to do
        if one["to"] != serving:
            return str(one["to"])
    raise DeployError(f"records: found no version before {serving or 'the first'}: there is no earlier version")
