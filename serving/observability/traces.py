"""OpenTelemetry: a span per request, with child spans for queueing and computation. Nothing is imported until `start`.

OpenTelemetry's own variables configure the export: OTEL_EXPORTER_OTLP_ENDPOINT (http://localhost:4318),
OTEL_SERVICE_NAME (serving), OTEL_TRACES_SAMPLER and so on.
"""

import os
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Tracer

_tracer: "Tracer | None" = None


def start() -> "TracerProvider":
    """-> the provider; its `shutdown()` flushes pending spans."""
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


def tracer() -> "Tracer | None":
    """OpenTelemetry's tracer; None until `start`."""
    return _tracer


def child(name: str, began: float, ended: float, **attributes: str | int | float) -> None:
    """A child span of the request, between two readings of time.monotonic().

    Created afterwards in the request's own task, because worker threads compute for several requests at once.
    """
    if _tracer is None:
        return
    offset = time.time_ns() - time.monotonic_ns()
    span = _tracer.start_span(name, start_time=offset + int(began * 1e9), attributes=attributes)
    span.end(offset + int(ended * 1e9))
