"""Runs a command of a task: streams its lines, thins out progress bars, classifies failures."""

import contextlib
import os
import re
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

EVERY = 10.0  # seconds between lines of a progress bar
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
BLOCKED = re.compile(r"Unable to acquire lock|is busy, it is being blocked by|Waiting for lock", re.IGNORECASE)
EXITED = re.compile(r"exited with (-?\d+)")
TEMPORARY = 75  # sysexits' EX_TEMPFAIL: the stages' exit code for an unreachable service
NETWORK = re.compile(
    r"timed out|temporary failure|connection (refused|reset|aborted|error)|could not connect|name or service not known"
    r"|\b50[0234]\b|slow ?down|endpoint ?connection|remote end closed",
    re.IGNORECASE,
)


class Failed(Exception):
    """The command failed; `retry`: whether a retry may succeed."""

    def __init__(self, message: str, retry: bool) -> None:
        super().__init__(message)
        self.retry = retry


class Blocked(Exception):
    """Another process has DVC's lock; the command did nothing."""


def lines(stream: IO[bytes], every: float = EVERY, clock: Callable[[], float] = time.monotonic) -> Iterator[str]:
    """Yields whole lines; of a line that is overwritten repeatedly (by `\\r`), one state every few seconds."""
    buffer, shown = b"", -every
    while chunk := os.read(stream.fileno(), 65536):
        buffer += chunk
        while (at := min((buffer.find(mark) for mark in (b"\n", b"\r") if mark in buffer), default=-1)) >= 0:
            if buffer[at : at + 1] == b"\r" and at + 1 == len(buffer):
                break  # "\r\n" may follow
            overwritten = buffer[at : at + 1] == b"\r" and buffer[at + 1 : at + 2] != b"\n"
            line, buffer = clean(buffer[:at]), buffer[at + 1 :]
            if not line or (overwritten and clock() - shown < every):
                continue
            if overwritten:
                shown = clock()
            yield line
    if line := clean(buffer):
        yield line


def clean(raw: bytes) -> str:
    return ESCAPES.sub("", raw.decode(errors="replace")).strip()


class Command:
    """One command at a time, in its own process group, so that stopping it stops its children."""

    def __init__(self, folder: Path, env: dict[str, str], say: Callable[[str], None]) -> None:
        self.folder, self.env, self.say = folder, env, say
        self.process: subprocess.Popen[bytes] | None = None

    def run(self, arguments: list[str]) -> list[str]:
        """Runs the command and returns its last lines.

        Raises:
            Blocked: DVC's lock is taken.
            Failed: with the last `error: ...` line, and whether a retry may succeed.
        """
        tail: deque[str] = deque(maxlen=200)
        self.process = subprocess.Popen(
            arguments, cwd=self.folder, env=self.env, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        assert self.process.stdout is not None
        with self.process.stdout as stream:
            for line in lines(stream):
                tail.append(line)
                self.say(line)
        code = self.process.wait()
        if code:
            raise failure(list(tail), code)
        return list(tail)

    def stop(self, patience: float = 10) -> None:
        """SIGTERM to the process group, then SIGKILL to the remaining processes."""
        if self.process is None or self.process.poll() is not None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            for number in (signal.SIGTERM, signal.SIGKILL):
                os.killpg(self.process.pid, number)
                deadline = time.monotonic() + patience
                while time.monotonic() < deadline:
                    self.process.poll()
                    os.killpg(self.process.pid, 0)  # raises once the group is empty
                    time.sleep(0.05)


def failure(tail: list[str], code: int) -> Blocked | Failed:
    """The failure that the end of a command's output indicates."""
    text = "\n".join(tail)
    if BLOCKED.search(text):
        return Blocked(tail[-1])
    inner = EXITED.search(text)
    code = int(inner[1]) if inner else code
    errors = [line for line in tail if line.lower().startswith("error: ")]
    message = (
        (errors[0] if errors else tail[-1] if tail else "no output").removeprefix("error: ").removeprefix("ERROR: ")
    )
    killed = code < 0 or code in (128 + signal.SIGKILL, 128 + signal.SIGTERM)
    if killed:
        message = f"the stage was killed by signal {abs(code) % 128}"
    return Failed(message, retry=killed or code == TEMPORARY or (inner is None and bool(NETWORK.search(text))))
