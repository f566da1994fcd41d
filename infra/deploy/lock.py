"""Locks: one deployment at a time per target."""

import fcntl
import json
import os
import platform
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from infra.deploy.record import now
from infra.deploy.target import DeployError
from roadmap.io.actor import who
from roadmap.io.errors import TEMPORARY
from roadmap.io.json import JsonObject

RENEW_SECONDS = 30.0  # seconds between renewals by the holder
STALE = timedelta(seconds=4 * RENEW_SECONDS)  # without renewal: the holder was killed


def in_use(place: str, holder: JsonObject) -> DeployError:
    return DeployError(
        f"{place}: {holder.get('by', 'somebody')} has been deploying since {holder.get('since', '?')}; wait for it",
        TEMPORARY,
    )


@contextmanager
def local(file: Path, place: str) -> Iterator[None]:
    """A lock on this machine, released by the kernel when its holder dies.

    Raises:
        DeployError: another process has it; TEMPORARY.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a+") as lock_file:
        try:
            fcntl.flock(lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock_file.seek(0)
            raise in_use(place, json.loads(lock_file.read() or "{}")) from None
        lock_file.truncate(0)
        lock_file.write(json.dumps({"by": who(), "since": now()}))
        lock_file.flush()
        yield


@contextmanager
def bucket(s3: Any, name: str, key: str, place: str) -> Iterator[None]:
    """A lock between machines: an S3 object created conditionally and renewed by its holder.

    Raises:
        DeployError: another deployment has it; TEMPORARY.
    """
    holder = {"by": who(), "since": now(), "host": platform.node(), "pid": os.getpid()}
    content = json.dumps(holder).encode()
    if not _acquire(s3, name, key, content):
        found = s3.get_object(Bucket=name, Key=key)
        other = json.loads(found["Body"].read() or "{}")
        if datetime.now(UTC) - found["LastModified"] < STALE and not _is_gone(other):
            raise in_use(place, other)
        s3.delete_object(Bucket=name, Key=key)
        if not _acquire(s3, name, key, content):
            raise DeployError(f"{place}: another deployment has the lock; wait for it", TEMPORARY)
    over = threading.Event()

    def renew() -> None:
        while not over.wait(RENEW_SECONDS):
            s3.put_object(Bucket=name, Key=key, Body=content)

    threading.Thread(target=renew, daemon=True).start()
    try:
        yield
    finally:
        over.set()
        s3.delete_object(Bucket=name, Key=key)


def _acquire(s3: Any, name: str, key: str, content: bytes) -> bool:
    from botocore.exceptions import ClientError

    try:
        s3.put_object(Bucket=name, Key=key, Body=content, IfNoneMatch="*")
    except ClientError as error:
        if error.response["Error"]["Code"] in ("PreconditionFailed", "ConditionalRequestConflict"):
            return False
        raise
    return True


def _is_gone(holder: JsonObject) -> bool:
    """Whether the holder was a process of this machine that has ended."""
    if holder.get("host") != platform.node():
        return False
    try:
        os.kill(int(holder["pid"]), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
