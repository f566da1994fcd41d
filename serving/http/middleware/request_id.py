"""X-Request-ID, the id of a request in the logs."""

import itertools
import logging
import re
import uuid

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.http.problems import response

SANE_ID = re.compile(r"[\x21-\x7e][\x20-\x7e]{0,127}")
START, COUNTER = uuid.uuid4().hex[:20], itertools.count()

log = logging.getLogger("serving")


def fresh_id() -> str:
    """32 unique hexadecimal digits. A counter with a random start, because system randomness takes longer than many
    predictions, and ids need not be hard to guess."""
    return f"{START}{next(COUNTER):012x}"


class RequestIdMiddleware:
    """Adds X-Request-ID to every response and turns uncaught exceptions into a logged 500."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        key = given if SANE_ID.fullmatch(given) else fresh_id()
        scope.setdefault("state", {})["request_id"] = key
        started = False

        async def send_with_id(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                MutableHeaders(scope=message)["X-Request-ID"] = key
            await send(message)

        try:
            await self.app(scope, receive, send_with_id)
        except Exception:
            log.exception("request %s: %s %r failed", key, scope["method"], scope["path"])
            if started:
                raise
            detail = "internal error; see the server's log under this request id"
            await response(scope, 500, detail, request_id=key)(scope, receive, send_with_id)
