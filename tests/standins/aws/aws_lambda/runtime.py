"""Lambda's Runtime API on this machine, and the real runtime client as a process that polls it.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
"""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[4]
VERSION = "/2018-06-01/runtime"


class FunctionError(Exception):
    """The function failed, with its message to /error or /init/error."""


class Runtime(ThreadingHTTPServer):
    """The API for the function's process: the next event, and a place for the response."""

    daemon_threads = True

    def __init__(self, timeout: float = 30.0) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.timeout_seconds = timeout  # of an invocation, as the function's setting is
        self.events: queue.Queue[tuple[str, bytes]] = queue.Queue()
        self.answers: queue.Queue[tuple[str, Any]] = queue.Queue()
        self.first_poll = 0.0  # when it requested its first event, so was initialised
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, *_: Any) -> None:
        """Ignores that the process ends during its request for the next event: Lambda ends it that way."""

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Runtime
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # header and body are two packets: the second would wait 40 ms for the first

    def do_GET(self) -> None:
        if self.path != f"{VERSION}/invocation/next":
            return self.reply(404)
        self.server.first_poll = self.server.first_poll or time.perf_counter()
        request, event = self.server.events.get()
        deadline = int((time.time() + self.server.timeout_seconds) * 1000)
        return self.reply(
            200,
            event,
            {
                "Lambda-Runtime-Aws-Request-Id": request,
                "Lambda-Runtime-Deadline-Ms": str(deadline),
                "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:eu-central-1:123456789012:function:models",
                "Lambda-Runtime-Trace-Id": "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=1",
            },
        )

    def do_POST(self) -> None:
        body = self.body()
        content = json.loads(body) if body else None
        if self.path == f"{VERSION}/init/error":
            self.server.answers.put(("init", content))
        else:
            _, _, _, _, request, kind = self.path.split("/")
            self.server.answers.put((kind, {"request": request, "content": content, "size": len(body)}))
        self.reply(202, b'{"status": "OK"}')

    def body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        whole = b""
        while size := int(self.rfile.readline(), 16):
            whole += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return whole

    def reply(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


class Function:
    """The function as Lambda runs it: one process, one invocation at a time, frozen in between."""

    def __init__(self, task_root: Path, timeout: float = 30.0, **environment: str) -> None:
        self.runtime = Runtime(timeout)
        self.started = time.perf_counter()
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("SERVING_", "AWS_"))}
        given = {
            "AWS_LAMBDA_RUNTIME_API": self.runtime.address,
            "AWS_LAMBDA_FUNCTION_NAME": "models",
            "AWS_REGION": "eu-central-1",
            "LAMBDA_TASK_ROOT": str(task_root),
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "awslambdaric", "serving.entrypoints.aws_lambda.handler"],
            cwd=ROOT,
            env={**kept, **given, **environment},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def __enter__(self) -> "Function":
        return self

    def __exit__(self, *_: Any) -> None:
        self.process.kill()  # like Lambda
        self.process.wait()
        self.runtime.shutdown()
        self.runtime.server_close()

    @property
    def initialised(self) -> float:
        """Seconds from the start of the process to its first request for an event."""
        return self.runtime.first_poll - self.started

    def invoke(self, event: Any, timeout: float = 30.0) -> Any:
        """The function's response to the event.

        Raises:
            FunctionError: it failed, or did not start.
        """
        self.process.send_signal(signal.SIGCONT)
        request = str(uuid.uuid4())
        self.runtime.events.put((request, json.dumps(event).encode()))
        kind, answer = self.runtime.answers.get(timeout=timeout)
        if kind != "init":
            self.process.send_signal(signal.SIGSTOP)
        if kind != "response":
            raise FunctionError(answer)
        assert answer["request"] == request
        return answer["content"]
