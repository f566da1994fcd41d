"""Measures every request for /metrics and for the audit log. Both identify keys by name only.

Routes set scope["state"]: `model`, the Model, and `inputs`, the number of inputs.
"""

import logging
import time
from typing import Any, Literal

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.auth.callers import caller
from serving.errors import CLIENT_CLOSED_REQUEST
from serving.http.middleware.route import template
from serving.observability import metrics
from serving.observability.logs import AUDIT

MAX_PAYLOAD = 10_000  # most bytes of a body in the audit log
KNOWN = frozenset({"GET", "POST", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"})

audit = logging.getLogger(AUDIT)


class TelemetryMiddleware:
    """`audit`: whether the log has a line per request, and whether it includes the payload."""

    def __init__(self, app: ASGIApp, audit: Literal["none", "line", "payload"]) -> None:
        self.app, self.log, self.payloads = app, audit != "none", audit == "payload"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, status, bytes_in, bytes_out = time.perf_counter(), CLIENT_CLOSED_REQUEST, 0, 0
        payload = bytearray()

        async def counted_receive() -> Message:
            nonlocal bytes_in
            message = await receive()
            if body := message.get("body"):
                bytes_in += len(body)
                if self.payloads:
                    payload.extend(body[: MAX_PAYLOAD - len(payload)])
            return message

        async def counted_send(message: Message) -> None:
            nonlocal status, bytes_out
            if message["type"] == "http.response.start":
                status = message["status"]
            else:
                bytes_out += len(message.get("body", b""))
            await send(message)

        metrics.request_started()
        try:
            await self.app(scope, counted_receive, counted_send)
        except Exception:
            status = 500
            raise
        finally:
            seconds = time.perf_counter() - began
            state: dict[str, Any] = scope.get("state") or {}
            route = template(scope)
            model = state.get("model")
            metrics.request_finished(route, model.name if model else "", status, seconds)
            if self.log and audit.isEnabledFor(logging.INFO):
                who = caller(scope)
                fields = {
                    "request_id": state.get("request_id"),
                    "client": scope["client"][0] if scope.get("client") else None,
                    "key": who.name if who else None,
                    "method": scope["method"] if scope["method"] in KNOWN else "other",
                    "route": route,
                    "project": model.name if model else None,
                    "version": model.version if model else None,
                    "inputs": state.get("inputs"),
                    "status": status,
                    "ms": round(seconds * 1000, 2),
                    "bytes_in": bytes_in,
                    "bytes_out": bytes_out,
                }
                if self.payloads:
                    encoding = Headers(scope=scope).get("content-encoding")
                    fields["payload"] = payload.decode("utf-8", "backslashreplace")
                    fields |= {"encoding": encoding} if encoding else {}
                # Like `audit.info`, but without the stack search for file and line, which no format shows.
                audit.handle(
                    audit.makeRecord(AUDIT, logging.INFO, "", 0, "request", (), None, None, {"fields": fields})
                )
