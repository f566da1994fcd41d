"""A contender's process: started, awaited, and ended with its children."""

import contextlib
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import IO

import psutil


class NotReady(Exception):
    """The reason why a contender can't be measured."""


@contextlib.contextmanager
def running(command: list[str], environment: dict[str, str]) -> Iterator["Process"]:
    with tempfile.TemporaryFile() as log:
        process = Process(command, environment, log)
        try:
            yield process
        finally:
            process.end()


class Process:
    def __init__(self, command: list[str], environment: dict[str, str], log: IO[bytes]) -> None:
        self.log = log
        self.process = subprocess.Popen(
            command, env={**os.environ, **environment}, stdout=log, stderr=log, start_new_session=True
        )

    def wait(self, ready: Callable[[], object], seconds: float = 120, pause: float = 0.1) -> None:
        """Polls `ready` every `pause` seconds until it is true.

        Raises:
            NotReady: the process ended, or is not ready after `seconds`.
        """
        until = time.monotonic() + seconds
        while not ready():
            if self.process.poll() is not None:
                raise NotReady(f"ended with exit code {self.process.returncode}: {self.last()}")
            if time.monotonic() > until:
                raise NotReady(f"no response after {seconds:.0f} s: {self.last()}")
            time.sleep(pause)

    def family(self) -> list[psutil.Process]:
        parent = psutil.Process(self.process.pid)
        return [parent, *parent.children(recursive=True)]

    def cpu_seconds(self) -> float:
        """CPU seconds of the process and its children so far."""
        return sum(used.user + used.system for used in (one.cpu_times() for one in self.family()))

    def output(self) -> str:
        self.log.seek(0)
        return self.log.read().decode(errors="replace")

    def last(self) -> str:
        lines = self.output().strip().splitlines()
        return lines[-1] if lines else "no output"

    def end(self) -> None:
        """Ends the whole group, and children that left it."""
        try:
            family = self.family()[1:]
        except psutil.NoSuchProcess:
            family = []
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)
            for child in family:
                with contextlib.suppress(psutil.NoSuchProcess):
                    child.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(5)
            _, family = psutil.wait_procs(family, timeout=5)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]
