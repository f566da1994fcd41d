"""The server's end of the prediction log: samples requests and passes them to the writer.

A request costs one line of text in a list, which a thread appends to a file (spool.py). The slow part, Parquet or a
database, is in another process (writer.py), because a thread would hold the GIL while requests wait. All workers of a
server share one writer.
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

from roadmap.io.json import JsonObject
from roadmap.prediction_log.spool import MAX_BYTES, Spool, folder_of, segments, writer_lock

FLUSH_SECONDS = 30.0
LOOK_SECONDS = 1.0  # between checks for a missing writer
MAX_PAUSE_SECONDS = 30.0  # before a restart, if writers keep failing
COMPLAIN_SECONDS = 30.0  # between log lines about the same problem
CLOSE_SECONDS = 10.0  # for the writer to end, when the server does

log = logging.getLogger("serving")


class LoggedManifest(Protocol):
    """What the log takes from a manifest."""

    @property
    def version(self) -> str: ...

    @property
    def profile(self) -> str: ...


class LoggedModel(Protocol):
    """A served model, as the log names it."""

    @property
    def name(self) -> str: ...

    @property
    def manifest(self) -> LoggedManifest: ...


class LogMetrics(Protocol):
    """Receives the numbers of written and lost rows: the server's metrics."""

    def recorded(self, project: str, rows: int) -> None: ...

    def dropped(self, project: str, rows: int) -> None: ...


class PredictionLogger:
    """Records predictions, and keeps a writer running."""

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
        self.writer: subprocess.Popen[bytes] | None = None  # if started by this process
        # At once, because another server may have left predictions behind.
        self._thread = threading.Thread(target=self._keep_writer, name="prediction log", daemon=True)
        self._thread.start()

    def record(
        self,
        model: LoggedModel,
        inputs: Sequence[BaseModel],
        outputs: Sequence[JsonObject],
        request_id: str,
        seconds: float,
        always: bool = False,
    ) -> bool:
        """Records a response; returns whether it will be written. Never waits and never raises.

        outputs: the response to each input, as JSON; seconds: of the whole request
        always: without sampling, because it belongs to a sampled request
        """
        if not always and self.share < 1 and random.random() >= self.share:
            return False
        manifest = model.manifest
        head = (time.time(), request_id, model.name, manifest.version, manifest.profile, seconds, len(inputs))
        try:
            # The fields have no tabs or line breaks: JSON escapes them.
            parts = (to_json(part, inf_nan_mode="null") for part in (head, inputs, outputs))
            taken = self._spool.append(b"\t".join(parts) + b"\n")
        except Exception as error:  # a failure to log must not fail the request
            taken = False
            self._log_error("cannot log a prediction of %s: %r", model.name, error)
        if not taken:
            self.counts.dropped(model.name, len(inputs))
        return taken

    def close(self) -> None:
        """Flushes the log; later predictions are dropped.

        What the log rejects, or has no time for, stays in the spool for the next server.
        """
        for line in self._spool.close(CLOSE_SECONDS):
            _, _, project, *_, inputs = from_json(line.partition(b"\t")[0])
            self.counts.dropped(project, inputs)
        with self._lock:
            self._closing.set()
            if self.writer is not None and self.writer.stdin is not None:
                self.writer.stdin.close()
        self._thread.join(CLOSE_SECONDS)
        if self._spool.left():
            log.error(
                "some predictions are not in the log yet; the next server will write them from %s", self._spool.folder
            )

    def _keep_writer(self) -> None:
        """Starts a writer when there is work and none is running, in one of several workers."""
        closing, pause = False, LOOK_SECONDS
        while not closing or self._spool.left():
            lock = writer_lock(self._spool.folder) if segments(self._spool.folder) else None
            if lock is not None:
                began, well = time.monotonic(), self._run_writer(lock)
                if well and self._closing.is_set():
                    return  # nothing more to do
                lasted = time.monotonic() - began > MAX_PAUSE_SECONDS
                pause = LOOK_SECONDS if well or lasted else min(2 * pause, MAX_PAUSE_SECONDS)
            closing = self._closing.wait(pause)
            if closing and self._spool.left():
                time.sleep(0.02)  # another worker's writer is running

    def _run_writer(self, lock: int) -> bool:
        """Reads the writer's reports until it ends; returns whether it ended normally."""
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
                    pass_fds=[lock],  # the writer holds the lock until it ends
                    env={**os.environ, "PYTHONPATH": os.pathsep.join(str(Path(path).absolute()) for path in sys.path)},
                    process_group=0,  # survives a kill of the server's process group, to write the rest
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
            self._log_error("cannot start the prediction log's writer: %r", error)
            return False
        finally:
            self.writer = None
            if lock >= 0:
                os.close(lock)
        if code:
            self._log_error("the prediction log's writer ended with exit code %d; restarting it", code)
        return code == 0

    def _hear(self, report: JsonObject) -> None:
        for project, rows in report.get("recorded", {}).items():
            self.counts.recorded(project, rows)
        for project, rows in report.get("dropped", {}).items():
            self.counts.dropped(project, rows)
            self._log_error(
                "the prediction log rejected %d predictions of %s; they may be too long for it", rows, project
            )
        if lines := report.get("unreadable"):
            log.error("skipped %d unreadable lines of the prediction log's spool", lines)
        if rows := report.get("failed"):
            log.error("cannot write %d predictions (%s); will retry", rows, report["why"])

    def _log_error(self, *arguments: Any) -> None:
        if time.monotonic() - self._complained_at >= COMPLAIN_SECONDS:
            self._complained_at = time.monotonic()
            log.error(*arguments)
