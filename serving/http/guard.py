"""What stands around the routes: who may ask, what is written down, and headers that keep browsers out of trouble.

From the outside in: security headers, request id, trace, watch, CORS, gate, body. What is not asked for is not there.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any

from fastapi import FastAPI, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from roadmap.prediction_log.recorder import Recorder
from serving.http.problems import RequestId
from serving.observability import metrics, traces
from serving.observability.requests import Watch
from serving.runtime.batching import Job, Queue, Scheduler
from serving.settings import Settings

HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"SAMEORIGIN"),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=(), payment=()"),
    (b"cross-origin-resource-policy", b"same-origin"),
]
HSTS = (b"strict-transport-security", b"max-age=31536000")  # browsers heed it over https alone
ASKED_HEADERS = ["Authorization", "Content-Type", "X-API-Key", "X-Caller-Id", "X-Request-ID", "X-Request-Timeout"]
ASKED_HEADERS += ["traceparent"]
SHOWN_HEADERS = ["X-Request-ID", "X-Model", "X-Model-Version", "Retry-After", "RateLimit", "RateLimit-Policy"]


def install(app: FastAPI, settings: Settings) -> None:
    """After what reads the body, and before the models are loaded.

    Raises:
        KeysError: the file of keys can't be used.
    """
    closers: list[Callable[[], Any]] = []
    scheduler: Scheduler = app.state.store.scheduler
    metrics.start()
    scheduler.observe = _observe
    app.state.recorder, app.state.templates = None, {}
    if settings.predictions:
        app.state.recorder = Recorder(settings.predictions, settings.predictions_share, metrics)
        closers.append(app.state.recorder.close)
    if settings.api_keys or settings.jwt_issuer or settings.rate_per_minute:
        _close(app, settings)
    if origins := settings.origins:
        from starlette.middleware.cors import CORSMiddleware

        app.add_middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=["GET", "POST"],
            allow_headers=ASKED_HEADERS,
            expose_headers=SHOWN_HEADERS,
        )
    app.add_middleware(Watch, audit=settings.audit)
    if settings.traces:
        closers.append(traces.start().shutdown)
        scheduler.trace = _trace
        app.add_middleware(traces.Trace)
    app.add_middleware(RequestId)
    app.add_middleware(SecurityHeaders)
    if closers:
        app.add_middleware(AtEnd, closers=closers)

    @app.get("/metrics", tags=["status"], response_class=Response, responses={200: {"content": {"text/plain": {}}}})
    def page() -> Response:
        """For Prometheus."""
        content, media_type = metrics.render()
        return Response(content, headers={"Content-Type": media_type})


def _close(app: FastAPI, settings: Settings) -> None:
    """Imported here, for a server that is open to all starts without."""
    from serving.auth.access import Gate
    from serving.auth.keys import Keys
    from serving.auth.rate_limit import RateLimit

    keys = Keys(settings.api_keys) if settings.api_keys else None
    limit = RateLimit(settings.rate_per_minute) if settings.rate_per_minute else None
    issuer = None
    if settings.jwt_issuer:
        from serving.auth.oidc import Issuer

        issuer = Issuer(settings.jwt_issuer, settings.jwt_audience or "")
    app.add_middleware(Gate, keys=keys, issuer=issuer, limit=limit)


def _observe(queue: Queue, size: int, seconds: float) -> None:
    metrics.batch(queue.name, size, seconds)
    metrics.queue(queue.name, queue.waiting)


def _trace(job: Job) -> None:
    ended = time.monotonic()
    if job.began is None:  # given up while it waited
        traces.child("queue", job.arrived, ended)
        return
    traces.child("queue", job.arrived, job.began)
    traces.child("predict", job.began, ended, **{"model.inputs": len(job.inputs)})


class SecurityHeaders:
    """On every answer. A page that needs a Content-Security-Policy brings its own."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = message["headers"] = [*message.get("headers", ()), *HEADERS]
                if scope["scheme"] == "https":
                    headers.append(HSTS)
            await send(message)

        await self.app(scope, receive, send_with_headers)


class AtEnd:
    """Calls these when the server stops, after everything else has come to its end."""

    def __init__(self, app: ASGIApp, closers: list[Callable[[], Any]]) -> None:
        self.app, self.closers = app, closers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await self.app(scope, receive, send)
            return

        async def send_after(message: Message) -> None:
            if message["type"].startswith("lifespan.shutdown."):
                for close in self.closers:
                    await asyncio.to_thread(close)
            await send(message)

        await self.app(scope, receive, send_after)
