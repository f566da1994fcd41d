"""Who may ask for which project, and how often. Keys are made by `python -m serving.auth new`.

A key comes as `Authorization: Bearer <key>`, as OpenAI's clients send it, or as `X-API-Key: <key>`; a token of the OIDC
issuer as bearer only. Probes and the page stay open, since load balancers and browsers bring no key; the page's own
requests need one. /metrics has a right of its own: behind a proxy on the same machine every caller is "local", so the
address proves nothing, and Prometheus can send a key.
"""

import argparse
import re
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving import problems
from serving.callers import Caller, KeysError
from serving.keys import Key, KeyFile, Keys, fresh
from serving.rate_limit import RateLimit, network

OPEN = frozenset({"/", "/health", "/ready", "/ping", "/v2/health/live", "/v2/health/ready", "/favicon.ico"})
OPEN_FOLDER = "/playground/"
PROJECT = re.compile(r"/(?:v[12]/)?models/([^/]+)")  # the projects that a path names; a body's are the routes' matter
ALLOWED_KEY = re.compile(r"[\x21-\x7e]+")


class Gate:
    """401 to strangers, 403 to those who may not, 429 to those who ask too often, in one layer.

    The rate is counted by key, and by address for those without a valid one: guessing keys is limited too.
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
                rate = f"more than {self.limit.per_minute} requests in a minute; Retry-After says when to go on"
                refusal = problems.response(scope, 429, rate)
        await (refusal or self.app)(scope, receive, send)

    async def _identified(self, scope: Scope) -> tuple[Caller | None, Any]:
        credential, bearer = _credential(scope)
        if credential is None:
            return None, _unauthorized(scope, "this server asks for a key: Authorization: Bearer <key>, or X-API-Key")
        if self.keys and (caller := self.keys.find(credential)):
            return caller, None
        if self.issuer and bearer and credential.count(".") == 2:
            from serving.oidc import IssuerDown, TokenError

            try:
                return await self.issuer.find(credential), None
            except TokenError as error:
                return None, _unauthorized(scope, str(error), invalid=True)
            except IssuerDown as error:
                return None, problems.response(scope, 503, str(error), {"Retry-After": "10"})
        return None, _unauthorized(scope, "the key is not known here, or has expired", invalid=True)

    def _outside(self, scope: Scope, path: str, caller: Caller) -> Any:
        """The 403 to what is known before the body is read, or nothing."""
        found = PROJECT.match(path)
        if found and not caller.may(found[1]):
            return problems.response(scope, 403, caller.forbidden(problems.cut(found[1])))
        if path == "/metrics" and not caller.metrics:
            return problems.response(scope, 403, f"{caller.name} may not read /metrics")
        return None


def _credential(scope: Scope) -> tuple[str | None, bool]:
    """-> the key or token, and whether it came as bearer. One that no key can look like counts as an empty one."""
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
    """RFC 6750: a request without a key is told the scheme, one with a wrong key also that it is wrong."""
    challenge = 'Bearer realm="models"' + (', error="invalid_token"' if invalid else "")
    return problems.response(scope, 401, detail, {"WWW-Authenticate": challenge})


def _with_headers(send: Send, headers: list[tuple[bytes, bytes]]) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", []), *headers]
        await send(message)

    return send_with_headers


# ---------------------------------------------------------------- python -m serving.auth


def main(argv: list[str] | None = None) -> int:
    options = _parser().parse_args(argv)
    try:
        return int(options.run(options))
    except KeysError as error:
        print(f"serving.auth: {error}", file=sys.stderr)
    except ValidationError as error:
        print(f"serving.auth: {error.errors(include_input=False)[0]['msg']}", file=sys.stderr)
    return 2


def _new(options: argparse.Namespace) -> int:
    found = KeyFile.read(options.file) if options.file.exists() else KeyFile()
    if any(key.name == options.name for key in found.keys):
        raise KeysError(f"{options.file}: {options.name} is there already; revoke it first, or take another name")
    expires = datetime.now(UTC).replace(microsecond=0) + timedelta(days=options.days) if options.days else None
    secret, key = fresh(options.name, options.projects, options.metrics, expires)
    found.keys.append(key)
    found.write(options.file)
    print(secret)
    print(f"{options.name} is in {options.file}. This is the only time that the key is shown.", file=sys.stderr)
    return 0


def _list(options: argparse.Namespace) -> int:
    for key in KeyFile.read(options.file).keys:
        until = f"until {key.expires.isoformat()}" if key.expires else "for good"
        print(f"{key.name:<24} {','.join(key.projects):<32} {'metrics ' if key.metrics else ''}{until}")
    return 0


def _revoke(options: argparse.Namespace) -> int:
    found = KeyFile.read(options.file)
    left: list[Key] = [key for key in found.keys if key.name != options.name]
    if len(left) == len(found.keys):
        raise KeysError(f"{options.file}: no key is named {options.name}")
    KeyFile(keys=left).write(options.file)
    return 0


def _parser() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser("python -m serving.auth", description="Makes and withdraws API keys.")
    commands = options.add_subparsers(required=True, metavar="new | list | revoke")
    new = commands.add_parser("new", help="prints a new key, and stores its hash")
    new.add_argument("--name", required=True, help="of its owner: what the audit log says")
    new.add_argument("--projects", default="", type=_names, help="by comma, * for all", metavar="NAMES")
    new.add_argument("--metrics", action="store_true", help="lets it read /metrics")
    new.add_argument("--days", type=int, help="until it expires; never, where it is not said")
    revoke = commands.add_parser("revoke", help="withdraws a key: servers see it within a second")
    revoke.add_argument("--name", required=True)
    shown = commands.add_parser("list", help="the names, projects and dates of all keys")
    for command, run in ((new, _new), (revoke, _revoke), (shown, _list)):
        command.add_argument("--file", required=True, type=Path, help="the server's api_keys")
        command.set_defaults(run=run)
    return options


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


if __name__ == "__main__":
    sys.exit(main())
