"""A span per request."""

from typing import Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.http.middleware.route import template
from serving.observability import traces


class TracingMiddleware:
    """Continues the trace of the client's `traceparent`, or starts one."""

    def __init__(self, app: ASGIApp) -> None:
        from opentelemetry import trace
        from opentelemetry.propagate import extract

        self.app, self.trace, self.extract = app, trace, extract

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or (tracer := traces.tracer()) is None:
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
        with tracer.start_as_current_span(
            scope["method"], context, kind=trace.SpanKind.SERVER, attributes=attributes
        ) as span:
            try:
                await self.app(scope, receive, noted_send)
            finally:
                self._describe(span, scope, status)

    def _describe(self, span: Any, scope: Scope, status: int) -> None:
        """Names follow OpenTelemetry's semantic conventions for HTTP; our own begin with `model.`."""
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
