"""`python -m serving` as a separate process."""

import contextlib
import json
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.checkouts import ROOT, environment


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


class Running:
    """A server in a separate process. Every request has its own connection."""

    def __init__(self, process: "subprocess.Popen[str]", address: str, log: Path) -> None:
        self.process, self.address, self.log = process, address, log
        self.pid = process.pid

    def get(self, path: str) -> str:
        with urllib.request.urlopen(self.address + path, timeout=30) as response:
            return str(response.read().decode())

    def post(self, path: str, content: Any, patience: float = 0.0, **headers: str) -> int:
        """The status. Broken connections are retried for so many seconds."""
        headers = {"Content-Type": "application/json", **headers}
        until = time.monotonic() + patience
        while True:
            request = urllib.request.Request(self.address + path, json.dumps(content).encode(), headers)
            try:
                with urllib.request.urlopen(request, timeout=30) as response:
                    return int(response.status)
            except urllib.error.HTTPError as error:
                return error.code
            except OSError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.1)

    def children(self) -> set[int]:
        """The workers, where there are several."""
        import psutil

        found = set()
        for one in psutil.Process(self.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):  # a zombie too: it has ended
                if "spawn_main" in " ".join(one.cmdline()):
                    found.add(one.pid)
        return found

    def stderr(self) -> str:
        return self.log.read_text()


@contextlib.contextmanager
def serving(log: Path, bundles: str, *options: str, **env: str) -> Iterator[Running]:
    """`python -m serving` with these options until the block ends; then SIGTERM, and its spool is written."""
    command = [sys.executable, "-m", "serving", "--port", "0", "--bundles", bundles, *options]
    with log.open("w") as errors:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment(**env), stdout=subprocess.PIPE, stderr=errors, text=True
        )
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("page "):
                break
        else:
            pytest.fail(f"the server did not start: {log.read_text()}")
        running = Running(process, line.split()[1].rstrip("/"), log)
        running.post("/health", None, patience=60)
        yield running
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
