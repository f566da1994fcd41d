"""Authentication, authorisation by project, and rate limit. `python -m serving.auth new` creates keys.

A key is sent as `Authorization: Bearer <key>`, as by OpenAI's clients, or as `X-API-Key: <key>`; an OIDC token as
bearer only. Probes and the page are open, because load balancers and browsers send no key; the page's requests need
one. /metrics has its own permission: behind a local proxy every caller has the same address, and Prometheus can send a
key.
"""

import re
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.auth.callers import Caller
from serving.auth.keys import Keys
from serving.auth.rate_limit import RateLimit, network
from serving.errors import cut
from serving.http import problems

OPEN = frozenset({"/", "/health", "/ready", "/ping", "/v2/health/live", "/v2/health/ready", "/favicon.ico"})
OPEN_FOLDER = "/playground/"
PROJECT = re.compile(r"/(?:v[12]/)?models/([^/]+)")  # projects in paths; routes authorise those in bodies
ALLOWED_KEY = re.compile(r"[\x21-\x7e]+")


class AuthMiddleware:
    """Responds with 401 to unknown callers, 403 to unauthorised and 429 to rate-limited ones.

    The rate is per key, or per address without a valid key, which also limits guessing.
    """

    def __init__(self, app: ASGIApp, keys: Keys | None, issuer: Any, limit: RateLimit | None) -> None:
        self.app, self.keys, self.issuer, self.limit = app, keys, issuer, limit
        self.closed = keys is not None or issuer is not None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "").removeprefix(scope.get("root_path", ""))
        if scope["type"] != "http" or path in OPEN or path.startswith(OPEN_FOLDER):
            await self.app(scope, receive, send)
            return
        caller, refusal = None, None
        if self.closed:
            caller, refusal = await self._identified(scope)
            if caller:
                scope.setdefault("state", {})["caller"] = caller
                refusal = self._outside(scope, path, caller)
        if self.limit is not None:
            client = scope.get("client")
            who = f"key {caller.name}" if caller else f"address {network(client[0]) if client else ''}"
            verdict = self.limit.take(who)
            send = _with_headers(send, verdict.headers)
            if not verdict.allowed:
                rate = f"more than {self.limit.per_minute} requests per minute; retry after the seconds in Retry-After"
                refusal = problems.response(scope, 429, rate)
        await (refusal or self.app)(scope, receive, send)

    async def _identified(self, scope: Scope) -> tuple[Caller | None, Any]:
        credential, bearer = _credential(scope)
        if credential is None:
            return None, _unauthorized(scope, "this server requires a key: Authorization: Bearer <key>, or X-API-Key")
        if self.keys and (caller := self.keys.find(credential)):
            return caller, None
        if self.issuer and bearer and credential.count(".") == 2:
            from serving.auth.oidc import IssuerDown, TokenError

            try:
                return await self.issuer.find(credential), None
            except TokenError as error:
                return None, _unauthorized(scope, str(error), invalid=True)
            except IssuerDown as error:
                return None, problems.response(scope, 503, str(error), {"Retry-After": "10"})
        return None, _unauthorized(scope, "the key is unknown or has expired", invalid=True)

    def _outside(self, scope: Scope, path: str, caller: Caller) -> Any:
        """A 403 if the path is not allowed for the caller, else None."""
        found = PROJECT.match(path)
        if found and not caller.may(found[1]):
            return problems.response(scope, 403, caller.forbidden(cut(found[1])))
        if path == "/metrics" and not caller.metrics:
            return problems.response(scope, 403, f"{caller.name} may not read /metrics")
        return None


def _credential(scope: Scope) -> tuple[str | None, bool]:
    """-> the key or token, and whether it was sent as bearer. A malformed one counts as empty."""
    given = None
    for name, value in scope["headers"]:
        if name == b"authorization":
            scheme, _, rest = value.decode("latin-1").partition(" ")
            if scheme.lower() == "bearer":
                return _plausible(rest.strip()), True
        elif name == b"x-api-key":
            given = _plausible(value.decode("latin-1"))
    return given, False


def _plausible(text: str) -> str:
    return text if ALLOWED_KEY.fullmatch(text) else ""


def _unauthorized(scope: Scope, detail: str, invalid: bool = False) -> Any:
    """A 401 by RFC 6750: with the scheme, and for a wrong key with the error."""
    challenge = 'Bearer realm="models"' + (', error="invalid_token"' if invalid else "")
    return problems.response(scope, 401, detail, {"WWW-Authenticate": challenge})


def _with_headers(send: Send, headers: list[tuple[bytes, bytes]]) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", []), *headers]
        await send(message)

    return send_with_headers
