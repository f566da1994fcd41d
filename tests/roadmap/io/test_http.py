"""The HTTP client against a real server: its requests, and one typed error for every failure."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from roadmap.io import http


class Handler(BaseHTTPRequestHandler):
    """Responds as the path says."""

    def do_GET(self) -> None:
        self.server.seen.append((self.command, self.path, dict(self.headers)))  # type: ignore[attr-defined]
        kind, _, rest = self.path.lstrip("/").partition("/")
        if kind == "redirect":
            self.send_response(302)
            self.send_header("Location", rest)
            self.end_headers()
            return
        if kind == "status":
            codes: list[int] = self.server.codes  # type: ignore[attr-defined]
            self.reply(codes.pop(0), b'{"detail": "because"}')
            return
        if kind == "cut":
            self.send_response(200)
            self.send_header("Content-Length", "100")
            self.end_headers()
            self.wfile.write(b"short")
            return
        length = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(length).decode()
        self.reply(200, json.dumps({"method": self.command, "body": body}).encode())

    do_POST = do_DELETE = do_GET

    def reply(self, code: int, content: bytes) -> None:
        self.send_response(code)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Any]:
    found: Any = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.seen, found.codes = [], []
    threading.Thread(target=found.serve_forever, daemon=True).start()
    found.url = f"http://127.0.0.1:{found.server_port}"
    yield found
    found.shutdown()
    found.server_close()


def test_a_body_is_posted_as_json_and_bytes_as_they_are(server: Any) -> None:
    assert http.ask(f"{server.url}/echo").json() == {"method": "GET", "body": ""}
    assert http.ask(f"{server.url}/echo", {"a": 1}).json() == {"method": "POST", "body": '{"a": 1}'}
    assert http.ask(f"{server.url}/echo", b"raw", method="DELETE").json() == {"method": "DELETE", "body": "raw"}
    kinds = [headers.get("Content-Type") for _, _, headers in server.seen]
    assert kinds == [None, "application/json", "application/octet-stream"]


def test_an_error_has_status_and_detail(server: Any) -> None:
    server.codes = [404]
    with pytest.raises(http.HttpError) as error:
        http.ask(f"{server.url}/status")
    assert error.value.status == 404 and not error.value.passing
    assert str(error.value) == f'GET {server.url}/status: 404: {{"detail": "because"}}'


def test_no_response() -> None:
    with pytest.raises(http.HttpError, match=r"GET http://127\.0\.0\.1:1/: no response \(.*refused\)") as error:
        http.ask("http://127.0.0.1:1/")
    assert error.value.status is None and error.value.passing


def test_only_transient_failures_are_retried(server: Any) -> None:
    server.codes = [503, 429, 200]
    assert http.ask(f"{server.url}/status", pauses=(0, 0)).status == 200
    server.codes = [503, 503]
    with pytest.raises(http.HttpError, match="503"):
        http.ask(f"{server.url}/status", pauses=(0,))
    server.codes = [400, 200]
    with pytest.raises(http.HttpError, match="400"):
        http.ask(f"{server.url}/status", pauses=(0,))


def test_credentials_stay_with_their_host(server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    elsewhere = server.url.replace("127.0.0.1", "localhost")
    http.ask(f"{server.url}/redirect/{elsewhere}/echo", headers={"Authorization": "Bearer ours"})
    sent = [headers.get("Authorization") for _, _, headers in server.seen]
    assert sent == ["Bearer ours", None]


def test_truncated_and_oversized_responses_are_errors(server: Any) -> None:
    with pytest.raises(http.HttpError, match="no response"):
        http.ask(f"{server.url}/cut")
    with pytest.raises(http.HttpError, match="more than 10 bytes"):
        http.ask(f"{server.url}/echo", limit=10)
    assert http.ask(f"{server.url}/echo", limit=1000).json()["method"] == "GET"
