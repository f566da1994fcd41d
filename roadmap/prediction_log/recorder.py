"""The server's end of the prediction log: draws the requests that are logged, and hands them to the log's writer.

A request costs a line of text in a list, which a thread appends to a file (spool.py). What is slow, Parquet or a
database, is the work of another process (writer.py): a thread for it would hold Python's lock while requests wait. One
writer does for all workers of a server.
"""

import json
import logging
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from pydantic import BaseModel
from pydantic_core import from_json, to_json

from roadmap.prediction_log.spool import MAX_BYTES, Spool, folder_of, segments, writer_lock

FLUSH_SECONDS = 30.0
LOOK_SECONDS = 1.0  # between looks whether a writer is missing
MAX_PAUSE_SECONDS = 30.0  # before another, where one after the other fails at once
COMPLAIN_SECONDS = 30.0  # between lines of the log about one trouble

log = logging.getLogger("serving")


class LogMetrics(Protocol):
    """Who is told how many rows were written and how many were lost: the server's metrics."""

    def recorded(self, project: str, rows: int) -> None: ...

    def dropped(self, project: str, rows: int) -> None: ...


class PredictionLogger:
    """Takes what was answered, and sees to it that a writer is at work."""

    def __init__(
        self,
        url: str,
        share: float,
        counts: LogMetrics,
        spool: Path,
        flush_seconds: float = FLUSH_SECONDS,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        """
        Args:
            url: of the log, a folder or a SQLAlchemy URL
            share: of the requests that are logged
            spool: folder where predictions wait, on a local disk; `max_bytes` of them
            flush_seconds: after which rows are written to the log
        """
        self.url, self.share, self.counts, self.flush_seconds = url, share, counts, flush_seconds
        self._spool = Spool(folder_of(spool, url), max_bytes)
        self._complained_at = -COMPLAIN_SECONDS
        self._lock = threading.Lock()  # of the next two
        self._closing = threading.Event()
        self.writer: subprocess.Popen[bytes] | None = None  # where it is this process that has started it
        # From the start, since another server may have left predictions behind.
        self._thread = threading.Thread(target=self._keep_writer, name="prediction log", daemon=True)
        self._thread.start()

    def record(
        self,
        model: Any,
        inputs: Sequence[BaseModel],
        outputs: Sequence[dict[str, Any]],
        request_id: str,
        seconds: float,
        always: bool = False,
    ) -> bool:
        """Whether it will be written. Never waits for the log and never raises on its account.

        always: it is no draw of the share, since it belongs to a request that was drawn
        """
        if not always and self.share < 1 and random.random() >= self.share:
            return False
        manifest = model.manifest
        head = (time.time(), request_id, model.name, manifest.version, manifest.profile, seconds, len(inputs))
        try:
            # Neither tabs nor line ends are within, since JSON escapes them.
            parts = (to_json(part, inf_nan_mode="null") for part in (head, inputs, outputs))
            taken = self._spool.append(b"\t".join(parts) + b"\n")
        except Exception as error:  # one answer that can't be written must fail no request
            taken = False
            self._complain("a prediction of %s can't be logged: %r", model.name, error)
        if not taken:
            self.counts.dropped(model.name, len(inputs))
        return taken

    def close(self, timeout: float = 10.0) -> None:
        """Waits until what is there has been written; what comes later is dropped.

        What the log doesn't take stays in the spool for the next server.
        """
        for line in self._spool.close(timeout):
            _, _, project, *_, inputs = from_json(line.partition(b"\t")[0])
            self.counts.dropped(project, inputs)
        with self._lock:
            self._closing.set()
            if self.writer is not None and self.writer.stdin is not None:
                self.writer.stdin.close()
        self._thread.join(timeout)
        if self._spool.left():
            log.error("predictions are not in the log yet; the next server finds them in %s", self._spool.folder)

    def _keep_writer(self) -> None:
        """Starts a writer whenever there is work and none is there: of several workers, one does."""
        closing, pause = False, LOOK_SECONDS
        while not closing or self._spool.left():
            lock = writer_lock(self._spool.folder) if segments(self._spool.folder) else None
            if lock is not None:
                began, well = time.monotonic(), self._run_writer(lock)
                if well and self._closing.is_set():
                    return  # it has done what it could
                lasted = time.monotonic() - began > MAX_PAUSE_SECONDS
                pause = LOOK_SECONDS if well or lasted else min(2 * pause, MAX_PAUSE_SECONDS)
            closing = self._closing.wait(pause)
            if closing and self._spool.left():
                time.sleep(0.02)  # another worker's writer is at it

    def _run_writer(self, lock: int) -> bool:
        """Listens to it until it ends; whether it did so of its own accord."""
        given = {
            "url": self.url,
            "folder": str(self._spool.folder),
            "server": self._spool.server,
            "flush_seconds": self.flush_seconds,
        }
        try:
            with self._lock:
                writer = self.writer = subprocess.Popen(
                    [sys.executable, "-m", "roadmap.prediction_log.writer"],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    pass_fds=[lock],  # it is the writer's until it ends
                    env={**os.environ, "PYTHONPATH": os.pathsep.join(str(Path(path).absolute()) for path in sys.path)},
                    process_group=0,  # what kills the server's process group leaves it to write what is there
                )
                assert writer.stdin is not None and writer.stdout is not None
                writer.stdin.write(json.dumps(given).encode())
                writer.stdin.flush()
                if self._closing.is_set():
                    writer.stdin.close()
            os.close(lock)
            lock = -1
            for line in writer.stdout:
                self._hear(json.loads(line))
            code = writer.wait()
        except OSError as error:
            self._complain("the prediction log's writer can't be started: %r", error)
            return False
        finally:
            self.writer = None
            if lock >= 0:
                os.close(lock)
        if code:
            self._complain("the prediction log's writer ended with exit code %d; another takes its place", code)
        return code == 0

    def _hear(self, report: dict[str, Any]) -> None:
        for project, rows in report.get("recorded", {}).items():
            self.counts.recorded(project, rows)
        for project, rows in report.get("dropped", {}).items():
            self.counts.dropped(project, rows)
            self._complain("the prediction log refuses %d predictions of %s; are they too long for it?", rows, project)
        if lines := report.get("unreadable"):
            log.error("%d lines of the prediction log's spool can't be read; they are left out", lines)
        if rows := report.get("failed"):
            log.error("%d predictions can't be written (%s); they are kept and tried again", rows, report["why"])

    def _complain(self, *words: Any) -> None:
        if time.monotonic() - self._complained_at >= COMPLAIN_SECONDS:
            self._complained_at = time.monotonic()
            log.error(*words)
