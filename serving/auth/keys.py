"""API keys: a JSON file of hashes, reloaded when it changes.

{"keys": [{"name": "ci", "sha256": "…", "projects": ["mnist"], "metrics": false, "expires": null}]}

JSON and not TOML, because a command writes it and the standard library only reads TOML. A key has 256 random bits, so
plain SHA-256 is safe; password hashes would cost a tenth of a second per request.
"""

import hashlib
import hmac
import logging
import secrets
import time
from datetime import UTC, datetime
from pathlib import Path

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, field_validator

from roadmap.io.atomic import write_atomically
from serving.auth.callers import Caller, KeysError

PREFIX = "rk_"  # recognisable to secret scanners
LOOK_SECONDS = 1.0  # between checks of the file

log = logging.getLogger("serving")


class Key(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[\w.@-]{1,64}$")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", repr=False)
    projects: list[str] = Field(description='project names, or "*" for all')
    metrics: bool = Field(False, description="whether it may read /metrics")
    expires: AwareDatetime | None = None

    @property
    def caller(self) -> Caller:
        """Who calls with this key."""
        return Caller(self.name, frozenset(self.projects), self.metrics)


class KeyFile(BaseModel):
    model_config = ConfigDict(extra="forbid")

    keys: list[Key] = []

    @field_validator("keys")
    @classmethod
    def _named_once(cls, keys: list[Key]) -> list[Key]:
        names = [key.name for key in keys]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"the name {twice[0]!r} appears twice")
        return keys

    @classmethod
    def read(cls, path: Path) -> "KeyFile":
        """Raises: KeysError, with the place of the error in the file."""
        try:
            return cls.model_validate_json(path.read_bytes())
        except OSError as error:
            raise KeysError(f"{path}: {error.strerror}; create it with `python -m serving.auth new`") from None
        except ValidationError as error:
            first = error.errors(include_input=False)[0]
            where = "/".join(map(str, first["loc"]))
            raise KeysError(f"{path}: {where + ': ' if where else ''}{first['msg']}") from None

    def write(self, path: Path) -> None:
        """Writes the file atomically, readable by its owner only."""
        write_atomically(path, self.model_dump_json(indent=2) + "\n", mode=0o600)


class Keys:
    """The keys of a file, kept up to date.

    Raises:
        KeysError: the file is unusable at the start. Later errors are logged and the last valid keys stay, so that a
            typo neither locks everybody out nor lets anybody in.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stamp = self._stat()
        self._keys = self._load()
        self._looked = time.monotonic()

    def find(self, secret: str) -> Caller | None:
        """The owner of a key; None if it is unknown or expired. Compares in constant time."""
        self._look()
        digest = hashlib.sha256(secret.encode()).hexdigest()
        found = None
        for key, caller in self._keys:  # no early exit, so that timing reveals nothing about the hashes
            if hmac.compare_digest(digest, key.sha256):
                found = key, caller
        if found is None or (found[0].expires and found[0].expires <= datetime.now(UTC)):
            return None
        return found[1]

    def _load(self) -> list[tuple[Key, Caller]]:
        return [(key, key.caller) for key in KeyFile.read(self.path).keys]

    def _look(self) -> None:
        now = time.monotonic()
        if now - self._looked < LOOK_SECONDS:
            return
        self._looked = now
        if (stamp := self._stat()) == self._stamp:
            return
        self._stamp = stamp
        try:
            self._keys = self._load()
            log.info("%s: reloaded, %d keys", self.path, len(self._keys))
        except KeysError as error:
            log.error("%s; keeping the previous keys", error)

    def _stat(self) -> tuple[int, int, int] | None:
        try:
            found = self.path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino


def fresh(name: str, projects: list[str], metrics: bool, expires: datetime | None) -> tuple[str, Key]:
    """A new secret and its entry for the file.

    Raises:
        ValidationError: the name is invalid.
    """
    secret = PREFIX + secrets.token_urlsafe(32)
    digest = hashlib.sha256(secret.encode()).hexdigest()
    return secret, Key(name=name, sha256=digest, projects=projects, metrics=metrics, expires=expires)
