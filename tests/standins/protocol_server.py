"""An HTTP server for stand-ins: routes by method and path, responds with status and JSON."""

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit


class Reply(Exception):
    """Ends a request with this response."""

    def __init__(self, status: int, content: Any = b"", **headers: str) -> None:
        super().__init__(status)
        self.status, self.headers = status, {key.replace("_", "-"): value for key, value in headers.items()}
        self.body = content if isinstance(content, bytes) else json.dumps(content).encode()


class Request:
    def __init__(self, handler: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(handler.path)
        self.method, self.path, self.headers = handler.command, unquote(parts.path), handler.headers
        self.target = handler.path  # as sent, with the query
        self.query = dict(parse_qsl(parts.query, keep_blank_values=True))
        length = int(handler.headers.get("Content-Length") or 0)
        self.body = handler.rfile.read(length) if length else b"".join(chunks(handler))

    def json(self) -> Any:
        return json.loads(self.body or "{}")


def chunks(handler: BaseHTTPRequestHandler) -> Iterator[bytes]:
    """A chunked body, as kubectl sends it."""
    while "chunked" in handler.headers.get("Transfer-Encoding", "") and (size := int(handler.rfile.readline(), 16)):
        yield handler.rfile.read(size)
        handler.rfile.readline()


Route = tuple[str, str, Callable[..., Reply]]  # method, path pattern, handler; groups are its arguments


@contextmanager
def running(routes: list[Route], faults: list[Reply]) -> Iterator[str]:
    """The server's address. Responses in `faults` come first, one per request."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def answer(self) -> None:
            request = Request(self)
            try:
                reply = faults.pop(0) if faults else self.routed(request)
            except Reply as ended:
                reply = ended
            except Exception as error:  # an error of the stand-in: boto3 shows it
                reply = Reply(400, {"message": f"{type(error).__name__}: {error}"})
            self.send_response(reply.status)
            for name, value in {"Content-Type": "application/json", **reply.headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(reply.body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(reply.body)

        def routed(self, request: Request) -> Reply:
            for method, pattern, act in routes:
                if method == request.method and (found := re.fullmatch(pattern, request.path)):
                    return act(request, *found.groups())
            return Reply(404, {"message": f"{request.method} {request.path}: not of this server"})

        do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = answer

        def log_message(self, *_: Any) -> None:
            """Keeps requests out of the tests' output."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
