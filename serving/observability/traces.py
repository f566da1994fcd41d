"""OpenTelemetry: a span per request, with its wait and its computation below it. Nothing is imported until `start`.

Where spans go is said by OpenTelemetry's own variables: OTEL_EXPORTER_OTLP_ENDPOINT (http://localhost:4318),
OTEL_SERVICE_NAME (serving), OTEL_TRACES_SAMPLER and so on.
"""

import os
import time
from typing import Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.observability.requests import template

_tracer: Any = None


def start() -> Any:
    """-> the provider; its `shutdown()` sends what is left."""
    global _tracer
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    name = os.environ.get("OTEL_SERVICE_NAME") or "serving"
    provider = TracerProvider(resource=Resource.create({"service.name": name}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    _tracer = provider.get_tracer("serving")
    return provider


def child(name: str, began: float, ended: float, **attributes: str | int | float) -> None:
    """A span below the request's, of what has happened between two readings of time.monotonic().

    Said afterwards and from the request's own task, since threads that compute for several requests know none of them.
    """
    if _tracer is None:
        return
    offset = time.time_ns() - time.monotonic_ns()
    span = _tracer.start_span(name, start_time=offset + int(began * 1e9), attributes=attributes)
    span.end(offset + int(ended * 1e9))


class Trace:
    """Goes on with the trace that the client's `traceparent` names, or begins one."""

    def __init__(self, app: ASGIApp) -> None:
        from opentelemetry import trace
        from opentelemetry.propagate import extract

        self.app, self.trace, self.extract = app, trace, extract

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or _tracer is None:
            await self.app(scope, receive, send)
            return
        trace, status = self.trace, 0

        async def noted_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        context = self.extract(Headers(scope=scope))
        attributes = {"http.request.method": scope["method"], "url.path": scope["path"], "url.scheme": scope["scheme"]}
        with _tracer.start_as_current_span(
            scope["method"], context, kind=trace.SpanKind.SERVER, attributes=attributes
        ) as span:
            try:
                await self.app(scope, receive, noted_send)
            finally:
                self._describe(span, scope, status)

    def _describe(self, span: Any, scope: Scope, status: int) -> None:
        """The names are those of OpenTelemetry's semantic conventions for HTTP; ours begin with `model.`."""
        if (route := template(scope)) != "none":
            span.update_name(f"{scope['method']} {route}")
            span.set_attribute("http.route", route)
        state = scope.get("state") or {}
        if model := state.get("model"):
            span.set_attributes({"model.name": model.name, "model.version": model.version})
        if "inputs" in state:
            span.set_attribute("model.inputs", state["inputs"])
        if "request_id" in state:
            span.set_attribute("request.id", state["request_id"])
        if status:
            span.set_attribute("http.response.status_code", status)
        if status >= 500:
            span.set_status(self.trace.StatusCode.ERROR)
