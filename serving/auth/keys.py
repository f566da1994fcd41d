"""API keys: a JSON file of hashes, which the server reads again when it changes.

{"keys": [{"name": "ci", "sha256": "…", "projects": ["mnist"], "metrics": false, "expires": null}]}

JSON and not TOML, since a command writes it and the standard library only reads TOML. A key is 256 random bits, so
plain SHA-256 is right: nobody can try them all, and the slow hashes meant for passwords would cost every request a
tenth of a second.
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

PREFIX = "rk_"  # so that scanners for leaked secrets can be told what to look for
LOOK_SECONDS = 1.0  # how often the file is looked at

log = logging.getLogger("serving")


class Key(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[\w.@-]{1,64}$")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", repr=False)
    projects: list[str] = Field(description='names of projects, or "*" for all')
    metrics: bool = Field(False, description="whether it may read /metrics")
    expires: AwareDatetime | None = None

    @property
    def caller(self) -> Caller:
        return Caller(self.name, frozenset(self.projects), self.metrics)


class KeyFile(BaseModel):
    model_config = ConfigDict(extra="forbid")

    keys: list[Key] = []

    @field_validator("keys")
    @classmethod
    def _named_once(cls, keys: list[Key]) -> list[Key]:
        names = [key.name for key in keys]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"the name {twice[0]!r} is there twice")
        return keys

    @classmethod
    def read(cls, path: Path) -> "KeyFile":
        """Raises: KeysError, with the place in the file that is at fault."""
        try:
            return cls.model_validate_json(path.read_bytes())
        except OSError as error:
            raise KeysError(f"{path}: {error.strerror}; `python -m serving.auth new` makes it") from None
        except ValidationError as error:
            first = error.errors(include_input=False)[0]
            where = "/".join(map(str, first["loc"]))
            raise KeysError(f"{path}: {where + ': ' if where else ''}{first['msg']}") from None

    def write(self, path: Path) -> None:
        """At once, for a server may be reading; readable by its owner alone."""
        write_atomically(path, self.model_dump_json(indent=2) + "\n", mode=0o600)


class Keys:
    """The keys of a file as it stands now.

    Raises:
        KeysError: the file can't be used at the start. Later the keys read last stay, and the log says why: a slip in
            the file must neither lock everybody out nor let anybody in.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stamp = self._stat()
        self._keys = self._load()
        self._looked = time.monotonic()

    def find(self, secret: str) -> Caller | None:
        """The owner of a key; None of one that is unknown or has expired. Compares in constant time."""
        self._look()
        digest = hashlib.sha256(secret.encode()).hexdigest()
        found = None
        for key, caller in self._keys:  # all of them, in constant time: the clock tells nothing of the hashes
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
            log.info("%s: read again, %d keys", self.path, len(self._keys))
        except KeysError as error:
            log.error("%s; the keys read before stay", error)

    def _stat(self) -> tuple[int, int, int] | None:
        try:
            found = self.path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino


def fresh(name: str, projects: list[str], metrics: bool, expires: datetime | None) -> tuple[str, Key]:
    """A new secret, and the entry that knows it again.

    Raises:
        ValidationError: a name that is none.
    """
    secret = PREFIX + secrets.token_urlsafe(32)
    digest = hashlib.sha256(secret.encode()).hexdigest()
    return secret, Key(name=name, sha256=digest, projects=projects, metrics=metrics, expires=expires)
