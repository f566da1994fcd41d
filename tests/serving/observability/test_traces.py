"""Spans as a collector gets them: a real OTLP receiver on this machine, and servers that export to it."""

import gzip
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from tests.support import bundles

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


class Collector:
    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.services: set[str] = set()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                assert self.path == "/v1/traces"
                collector.take(ExportTraceServiceRequest.FromString(body))
                answer = ExportTraceServiceResponse().SerializeToString()
                self.send_response(200)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def take(self, request: ExportTraceServiceRequest) -> None:
        for resource in request.resource_spans:
            self.services |= {a.value.string_value for a in resource.resource.attributes if a.key == "service.name"}
            self.spans += [span for scope in resource.scope_spans for span in scope.spans]


@pytest.fixture
def collector() -> Iterator[Collector]:
    found = Collector()
    yield found
    found.server.shutdown()
    found.server.server_close()


@pytest.fixture
def artifacts(tmp_path: Path) -> str:
    bundles.titanic(tmp_path / "artifacts" / "titanic" / "bundle")
    return str(tmp_path / "artifacts")


def attributes(span: Span) -> dict[str, Any]:
    return {one.key: getattr(one.value, str(one.value.WhichOneof("value"))) for one in span.attributes}


def test_a_request_continues_its_callers_trace(
    collector: Collector, artifacts: str, server: Callable[..., Any]
) -> None:
    with server(artifacts, "--traces", OTEL_EXPORTER_OTLP_ENDPOINT=collector.url) as running:
        sent = {"traceparent": f"00-{TRACE}-{PARENT}-01", "X-Request-ID": "abc"}
        assert running.post("/models/titanic/predict", {"inputs": [{}, {}]}, **sent) == 200
        assert running.post("/models/nothing/predict", {"inputs": [{}]}) == 404
    # No waiting: unsent spans are exported when the server ends.
    ours = {span.name: span for span in collector.spans if span.trace_id.hex() == TRACE}
    assert set(ours) == {"POST /models/{name}/predict", "queue", "predict"}
    assert collector.services == {"serving"}
    root, queue, predict = ours["POST /models/{name}/predict"], ours["queue"], ours["predict"]
    assert (root.kind, root.parent_span_id.hex()) == (Span.SPAN_KIND_SERVER, PARENT)
    assert queue.parent_span_id == predict.parent_span_id == root.span_id
    assert root.start_time_unix_nano <= queue.start_time_unix_nano + 1_000_000
    assert queue.start_time_unix_nano <= queue.end_time_unix_nano
    assert abs(queue.end_time_unix_nano - predict.start_time_unix_nano) < 1_000_000  # two readings of two clocks
    assert predict.end_time_unix_nano <= root.end_time_unix_nano + 1_000_000
    message = attributes(root)
    assert {
        "http.request.method": "POST",
        "http.route": "/models/{name}/predict",
        "http.response.status_code": 200,
        "model.name": "titanic",
        "model.inputs": 2,
        "request.id": "abc",
    }.items() <= message.items()
    assert len(message["model.version"]) == 12
    other = next(span for span in collector.spans if span.name == root.name and span.trace_id.hex() != TRACE)
    assert not other.parent_span_id
    assert attributes(other)["http.response.status_code"] == 404
    assert other.status.code != Status.STATUS_CODE_ERROR  # the caller's fault, not the server's


def test_an_unreachable_collector_affects_no_request(artifacts: str, server: Callable[..., Any]) -> None:
    down = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_EXPORTER_OTLP_TIMEOUT": "1"}
    with server(artifacts, "--traces", **down) as running:
        assert running.post("/models/titanic/predict", {"inputs": [{}]}) == 200
