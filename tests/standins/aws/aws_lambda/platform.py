"""Lambda's part around a function's image: environments, their lifecycle, limits. Its client is `invoke`.

An environment is a container with its own Runtime API. An invocation that finds none free starts one; it is frozen
between invocations, and ends with its process when an invocation times out or ends the process.
https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html
https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html
"""

import json
import queue
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.standins.aws.aws_lambda.runtime import Runtime
from tests.support.infra import engine

PAYLOAD = 6 * 2**20  # bytes of an event; of an answer 100 more
CONFINED = ("--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt", "no-new-privileges")


@dataclass(frozen=True)
class Outcome:
    """What the caller sees: Invoke's status, and the function's response or the platform's error."""

    status: int
    error: str  # its type; empty after an answer of the function's own
    payload: Any
    environment: str = ""
    size: int = 0  # bytes of the answer


class Environment:
    def __init__(self, image: str, artifacts: Path, timeout: float, options: tuple[str, ...]) -> None:
        self.runtime = Runtime(timeout)
        self.name = f"roadmap-test-function-{uuid.uuid4().hex[:8]}"
        given = {
            "AWS_LAMBDA_RUNTIME_API": self.runtime.address,
            "LAMBDA_TASK_ROOT": "/var/task",
            "AWS_LAMBDA_FUNCTION_NAME": "models",
        }
        error = [part for key, value in given.items() for part in ("-e", f"{key}={value}")]
        place = ("-v", f"{artifacts}:/var/task/artifacts:ro", "--network", "host", *CONFINED)
        engine.docker("run", "-d", "--name", self.name, *error, *place, *options, image, "lambda")
        self.frozen = False

    def state(self) -> dict[str, Any]:
        return engine.Container(self.name, "").state()

    def wait_until_ready(self, patience: float = 60.0) -> None:
        """Until it requests its first event."""
        until = time.monotonic() + patience
        while not self.runtime.first_poll:
            assert time.monotonic() < until and self.state()["Running"], engine.Container(self.name, "").log()
            time.sleep(0.02)

    def freeze(self, frozen: bool) -> None:
        engine.docker("pause" if frozen else "unpause", self.name)
        self.frozen = frozen

    def invoke(self, event: bytes) -> Outcome:
        if self.frozen:
            self.freeze(False)
        request = str(uuid.uuid4())
        self.wait_until_ready()  # initialisation has its own ten seconds
        self.runtime.events.put((request, event))
        until = time.monotonic() + self.runtime.timeout_seconds
        while (left := until - time.monotonic()) > 0:
            try:
                kind, answer = self.runtime.answers.get(timeout=min(left, 0.2))
            except queue.Empty:
                if self.state()["Running"]:
                    continue
                return self.failed(
                    "Runtime.ExitError", f"RequestId: {request} Error: Runtime exited with error: {self.why()}"
                )
            assert kind == "response" and answer["request"] == request, answer
            self.freeze(True)
            return Outcome(200, "", answer["content"], self.name, answer["size"])
        message = f"RequestId: {request} Error: Task timed out after {self.runtime.timeout_seconds:.2f} seconds"
        return self.failed("Sandbox.Timedout", message)

    def why(self) -> str:
        code = self.state()["ExitCode"]
        return "signal: killed" if code == 137 else f"exit status {code}"

    def failed(self, kind: str, message: str) -> Outcome:
        return Outcome(200, kind, {"errorType": kind, "errorMessage": message}, self.name)

    def end(self) -> None:
        engine.docker("rm", "-f", self.name, check=False)
        self.runtime.shutdown()
        self.runtime.server_close()


class Platform:
    """A function with a maximum number of environments; `options` are the container's, such as its memory."""

    def __init__(self, image: str, artifacts: Path, timeout: float = 30, most: int = 1, options: Any = ()) -> None:
        self.make: Callable[[], Environment] = lambda: Environment(image, artifacts, timeout, tuple(options))
        self.most, self.busy, self.lock = most, 0, threading.Lock()
        self.free: list[Environment] = []

    def __enter__(self) -> "Platform":
        return self

    def __exit__(self, *_: Any) -> None:
        for one in self.free:
            one.end()

    def invoke(self, event: bytes, before: Callable[[Environment], Any] = lambda environment: None) -> Outcome:
        """`before` is called with the ready environment, before the event is sent."""
        if len(event) > PAYLOAD:
            message = (
                f"{len(event)} byte payload is too large for the RequestResponse invocation type (limit {PAYLOAD})"
            )
            return Outcome(413, "RequestTooLargeException", {"message": message})
        with self.lock:
            if not self.free and self.busy >= self.most:
                return Outcome(429, "TooManyRequestsException", {"Reason": "ReservedFunctionConcurrentInvocationLimit"})
            self.busy += 1
            found = self.free.pop() if self.free else None
        one, outcome = found or self.make(), None
        try:
            one.wait_until_ready()
            before(one)
            outcome = one.invoke(event)
        finally:
            with self.lock:
                self.busy -= 1
                if keep := outcome is not None and not outcome.error:
                    self.free.append(one)
            if not keep:
                one.end()
        assert outcome.size <= PAYLOAD + 100, "Lambda does not return such responses"
        return outcome


def event(path: str, body: str, **headers: str) -> bytes:
    """A POST as API Gateway's HTTP API forwards it."""
    http = {"method": "POST", "path": path, "protocol": "HTTP/1.1", "sourceIp": "203.0.113.7", "userAgent": "test"}
    context = {"http": http, "requestId": "JKJaXmPLvHcESHA=", "stage": "$default"}
    head = {"version": "2.0", "routeKey": "$default", "rawPath": path, "rawQueryString": ""}
    more = {"headers": {"content-type": "application/json", **headers}, "requestContext": context}
    return json.dumps({**head, **more, "body": body, "isBase64Encoded": False}).encode()
