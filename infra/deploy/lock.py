"""One deployment at a time to one place."""

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from infra.deploy.record import now, who
from infra.deploy.target import TEMPORARY, DeployError

STALE = timedelta(hours=3)  # longer than the longest deployment: its holder was killed


def refused(place: str, holder: dict[str, Any]) -> DeployError:
    return DeployError(
        f"{place}: {holder.get('by', 'somebody')} has been deploying since {holder.get('since', '?')}; wait for it",
        TEMPORARY,
    )


@contextmanager
def local(file: Path, place: str) -> Iterator[None]:
    """On this machine. The kernel lets go of it when its holder dies."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a+") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            held.seek(0)
            raise refused(place, json.loads(held.read() or "{}")) from None
        held.truncate(0)
        held.write(json.dumps({"by": who(), "since": now()}))
        held.flush()
        yield


@contextmanager
def bucket(s3: Any, name: str, key: str, place: str) -> Iterator[None]:
    """Among all machines: an object that S3 makes only where there is none."""
    from botocore.exceptions import ClientError

    content = json.dumps({"by": who(), "since": now()}).encode()
    for _ in range(2):
        try:
            s3.put_object(Bucket=name, Key=key, Body=content, IfNoneMatch="*")
            break
        except ClientError as error:
            if error.response["Error"]["Code"] not in ("PreconditionFailed", "ConditionalRequestConflict"):
                raise
            found = s3.get_object(Bucket=name, Key=key)
            if datetime.now(UTC) - found["LastModified"] < STALE:
                raise refused(place, json.loads(found["Body"].read() or "{}")) from None
            s3.delete_object(Bucket=name, Key=key)
    else:
        raise DeployError(f"{place}: another deployment took the lock; wait for it", TEMPORARY)
    try:
        yield
    finally:
        s3.delete_object(Bucket=name, Key=key)
