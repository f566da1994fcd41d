"""Builds the middleware stack from the settings.

From the outside in: shutdown, security headers, request id, tracing, telemetry, CORS, auth, HEAD, body, compression.
"""

import time
from collections.abc import Callable
from typing import Any

from fastapi import FastAPI, Response

from roadmap.prediction_log.recorder import PredictionLogger
from serving.http.middleware.body import BodyMiddleware
from serving.http.middleware.compression import CompressionMiddleware
from serving.http.middleware.head import HeadMiddleware
from serving.http.middleware.headers import SecurityHeadersMiddleware
from serving.http.middleware.request_id import RequestIdMiddleware
from serving.http.middleware.shutdown import ShutdownMiddleware
from serving.http.middleware.telemetry import TelemetryMiddleware
from serving.observability import metrics, traces
from serving.runtime.batching import Queue, QueuedRequest, Scheduler
from serving.settings import Settings

ASKED_HEADERS = ["Authorization", "Content-Type", "X-API-Key", "X-Caller-Id", "X-Request-ID", "X-Request-Timeout"]
ASKED_HEADERS += ["traceparent"]
SHOWN_HEADERS = ["X-Request-ID", "X-Model", "X-Model-Version", "Retry-After", "RateLimit", "RateLimit-Policy"]


def install(app: FastAPI, settings: Settings) -> None:
    """Installs the middleware. Call it before the models are loaded, because it observes their scheduler.

    Raises:
        KeysError: the key file is unusable.
    """
    app.add_middleware(CompressionMiddleware, minimum_size=1024, compresslevel=4)
    app.add_middleware(BodyMiddleware, most=settings.max_body_mb * 2**20)
    app.add_middleware(HeadMiddleware)
    closers: list[Callable[[], Any]] = []
    scheduler: Scheduler = app.state.store.scheduler
    metrics.start()
    scheduler.observe = _observe
    app.state.recorder, app.state.templates = None, {}
    if settings.predictions:
        app.state.recorder = PredictionLogger(
            settings.predictions, settings.predictions_share, metrics, settings.predictions_spool
        )
        closers.append(app.state.recorder.close)
    if settings.api_keys or settings.jwt_issuer or settings.rate_per_minute:
        _close(app, settings)
    if origins := settings.origins:
        from starlette.middleware.cors import CORSMiddleware

        app.add_middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=["GET", "HEAD", "POST"],
            allow_headers=ASKED_HEADERS,
            expose_headers=SHOWN_HEADERS,
        )
    app.add_middleware(TelemetryMiddleware, audit=settings.audit)
    if settings.traces:
        closers.append(traces.start().shutdown)
        scheduler.trace = _trace
        from serving.http.middleware.tracing import TracingMiddleware

        app.add_middleware(TracingMiddleware)
    app.add_middleware(RequestIdMiddleware)
    app.add_middleware(SecurityHeadersMiddleware)
    if closers:
        app.add_middleware(ShutdownMiddleware, closers=closers)

    @app.get(
        "/metrics",
        tags=["status"],
        summary="Metrics",
        response_class=Response,
        responses={200: {"content": {"text/plain": {}}, "description": "Prometheus text format"}},
    )
    def get_metrics() -> Response:
        """Requests, latency, queues and predictions of this server, for Prometheus."""
        content, media_type = metrics.render()
        return Response(content, headers={"Content-Type": media_type})


def _close(app: FastAPI, settings: Settings) -> None:
    """Imported here, because an open server needs none of it."""
    from serving.auth.keys import Keys
    from serving.auth.rate_limit import RateLimit
    from serving.http.middleware.auth import AuthMiddleware

    keys = Keys(settings.api_keys) if settings.api_keys else None
    limit = RateLimit(settings.rate_per_minute) if settings.rate_per_minute else None
    issuer = None
    if settings.jwt_issuer:
        from serving.auth.oidc import Issuer

        issuer = Issuer(settings.jwt_issuer, settings.jwt_audience or "")
    app.add_middleware(AuthMiddleware, keys=keys, issuer=issuer, limit=limit)


def _observe(queue: Queue, size: int, seconds: float) -> None:
    metrics.batch(queue.name, size, seconds)
    metrics.queue(queue.name, queue.waiting)


def _trace(request: QueuedRequest) -> None:
    ended = time.monotonic()
    if request.began is None:  # cancelled while queued
        traces.child("queue", request.arrived, ended)
        return
    traces.child("queue", request.arrived, request.began)
    traces.child("predict", request.began, ended, **{"model.inputs": len(request.inputs)})
