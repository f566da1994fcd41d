"""The server as a process: it stops without losing requests in flight, and restarts killed workers."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support import bundles
from tests.support.waiting import until

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
# Wraps the predictor: it waits while a file exists. The server is the real command.
SLOW = """
import pathlib, sys, time
from serving.runtime.models import Model
plain, held = Model.predict_json, pathlib.Path(sys.argv.pop())
def slow(self, inputs):
    if held.exists():
        print("begun", flush=True)
    while held.exists():
        time.sleep(0.01)
    return plain(self, inputs)
Model.predict_json = slow
from serving.entrypoints.server import main
sys.exit(main())
"""


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundles.make_all(tmp_path_factory.mktemp("artifacts"))


@contextmanager
def command(artifacts: Path, *more: str, program: tuple[str, ...] = ("-m", "serving")) -> Iterator[tuple[Any, str]]:
    """The process and its address."""
    arguments = [sys.executable, *program, "--port", "0", "--bundles", str(artifacts), *more]
    with subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            line = next(line for line in server.stdout if line.startswith("page"))
            yield server, line.split()[1].removeprefix("http://").rstrip("/")
        finally:
            server.terminate()
            server.wait(60)


def workers(server: "subprocess.Popen[str]") -> list[int]:
    """Their process ids, in order of their start."""
    alive = []
    for child in psutil.Process(server.pid).children():
        with contextlib.suppress(psutil.NoSuchProcess):  # it ended meanwhile
            if child.status() != psutil.STATUS_ZOMBIE and "resource_tracker" not in " ".join(child.cmdline()):
                alive.append(child)
    return [child.pid for child in sorted(alive, key=psutil.Process.create_time)]


def ask(address: str) -> tuple[int, int]:
    """-> status, outputs"""
    connection = HTTPConnection(address, timeout=60)
    connection.request("POST", "/models/titanic/predict", '{"inputs": [{}]}', {"content-type": "application/json"})
    answer = connection.getresponse()
    return answer.status, len(json.load(answer)["outputs"])


def test_sigterm_completes_requests_in_flight(artifacts: Path, tmp_path: Path) -> None:
    held = tmp_path / "held"
    with command(artifacts, str(held), program=("-c", SLOW)) as (server, address):
        answers: list[tuple[int, int]] = []
        held.touch()
        thread = threading.Thread(target=lambda: answers.append(ask(address)))
        thread.start()
        assert server.stdout.readline() == "begun\n"
        server.send_signal(signal.SIGTERM)
        held.unlink()
        thread.join(60)
        assert answers == [(200, 1)]
        assert server.wait(60) in (0, -signal.SIGTERM)
        with pytest.raises(ConnectionRefusedError):
            ask(address)


def test_a_killed_worker_is_restarted_while_the_others_serve(artifacts: Path) -> None:
    with command(artifacts, "--workers", "2") as (server, address):

        def both_answer() -> bool:
            try:
                return ask(address) == (200, 1) and len(workers(server)) == 2
            except ConnectionError:
                return False

        until(both_answer)
        victim = workers(server)[0]
        os.kill(victim, signal.SIGKILL)
        lost = 0
        deadline = time.monotonic() + 120
        answered = 0
        while time.monotonic() < deadline and (answered < 50 or len(workers(server)) < 2 or victim in workers(server)):
            try:
                assert ask(address) == (200, 1)
                answered += 1
            except (ConnectionError, TimeoutError):
                lost += 1
        assert victim not in workers(server) and len(workers(server)) == 2 and answered >= 50
        assert lost <= 2  # the killed worker's request


def test_a_worker_killed_while_it_is_pinged_is_replaced(artifacts: Path) -> None:
    """At once, not after the 30 seconds in which a busy one may answer."""
    with command(artifacts, "--workers", "2") as (server, address):
        until(lambda: len(workers(server)) == 2)
        _, second = workers(server)
        os.kill(second, signal.SIGSTOP)  # it can't answer a ping
        assert ask(address) == (200, 1)  # the first has answered one, so that the second is asked
        os.kill(second, signal.SIGKILL)
        until(lambda: len(workers(server)) == 2 and second not in workers(server), seconds=20)
