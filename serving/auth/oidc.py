"""Bearer tokens of an OpenID Connect issuer: JWTs, verified with the issuer's published keys.

The `scope` claim has the permissions: "predict:mnist predict:titanic", "predict:*", "metrics".
"""

import asyncio
import logging
import time
from typing import Any
from urllib.parse import urlsplit

from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet

from roadmap.io.http import HttpError, ask
from roadmap.io.json import JsonObject
from serving.auth.callers import Caller

# Asymmetric signatures only: not `none`, and not HMAC, which would accept the public key as its secret.
ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "Ed25519"]
LEEWAY = 30  # tolerated clock skew in seconds
KEEP_SECONDS = 3600.0  # until the keys are refreshed, because one may have been revoked
PAUSE_SECONDS = 10.0  # between two fetches, however many unknown key ids there are
FETCH_TIMEOUT = 5.0
MAX_TOKEN = 16_384
MAX_DOCUMENT = 2**20

log = logging.getLogger("serving")


class TokenError(Exception):
    """The token is rejected; the message has the reason, but not the token."""


class IssuerDown(Exception):
    """The issuer's keys are unavailable: not the caller's fault."""


class Issuer:
    """Authenticates callers by the tokens of one issuer."""

    def __init__(self, url: str, audience: str) -> None:
        self.url = url
        self._claims = jwt.JWTClaimsRegistry(
            leeway=LEEWAY,
            iss={"essential": True, "value": url},
            aud={"essential": True, "value": audience},
            exp={"essential": True},
            sub={"essential": True},
        )
        self._keys: KeySet | None = None
        self._fetched = self._tried = float("-inf")
        self._lock: asyncio.Lock | None = None

    async def find(self, token: str) -> Caller:
        """Raises: TokenError, IssuerDown."""
        if len(token) > MAX_TOKEN:
            raise TokenError("the token is too long")
        keys = await self._fresh(KEEP_SECONDS)
        try:
            try:
                claims = self._verified(token, keys)
            except InvalidKeyIdError:  # maybe a new key
                claims = self._verified(token, await self._fresh(PAUSE_SECONDS))
        except (JoseError, ValueError, TypeError, KeyError) as error:
            reason = getattr(error, "description", "") or getattr(error, "error", "") or "malformed"
            raise TokenError(f"the token is rejected: {reason}") from None
        scopes = str(claims.get("scope", "")).split()
        projects = frozenset(one.removeprefix("predict:") for one in scopes if one.startswith("predict:"))
        return Caller(str(claims["sub"])[:64], projects, "metrics" in scopes)

    def _verified(self, token: str, keys: KeySet) -> dict[str, Any]:
        found = jwt.decode(token, keys, algorithms=ALGORITHMS)
        self._claims.validate(found.claims)
        return found.claims

    async def _fresh(self, age: float) -> KeySet:
        """The keys, refreshed if older than `age`, by one request at a time."""
        if self._keys is not None and time.monotonic() - self._fetched < age:
            return self._keys
        self._lock = self._lock or asyncio.Lock()
        async with self._lock:
            now = time.monotonic()
            if now - max(self._fetched, self._tried) >= PAUSE_SECONDS:
                self._tried = now
                try:
                    self._keys = await asyncio.to_thread(fetch_keys, self.url)
                    self._fetched = time.monotonic()
                except (HttpError, ValueError, KeyError, TypeError, JoseError) as error:
                    log.error("cannot fetch the keys of %s: %s", self.url, error)
        if self._keys is None:
            raise IssuerDown(f"cannot fetch the keys of {self.url}")
        return self._keys


def fetch_keys(issuer: str) -> KeySet:
    """Raises: HttpError, ValueError, KeyError, TypeError, JoseError."""
    found = document(f"{issuer.rstrip('/')}/.well-known/openid-configuration")
    if found["issuer"] != issuer:  # OpenID Connect Discovery 4.3
        raise ValueError(f"issuer: found {found['issuer']!r}; expected {issuer!r}")
    published = document(found["jwks_uri"])
    signing = [key for key in published["keys"] if key.get("kty") != "oct" and key.get("use", "sig") == "sig"]
    return KeySet.import_key_set({"keys": signing})


def document(url: str) -> JsonObject:
    """An issuer's JSON object of at most MAX_DOCUMENT bytes. Raises: HttpError, ValueError."""
    check_address(url)
    answer = ask(url, seconds=FETCH_TIMEOUT, limit=MAX_DOCUMENT)
    check_address(answer.url)  # after redirects
    found: JsonObject = answer.json()
    return found


def check_address(url: str) -> None:
    """Allows https, or http on localhost: keys from an insecure connection prove nothing. Raises: ValueError."""
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in ("127.0.0.1", "localhost", "::1")):
        raise ValueError(f"{url!r} is not an https:// address")
