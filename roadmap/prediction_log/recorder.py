"""The prediction log: a sample of what was asked and answered, for whoever watches over drift.

A folder gets Parquet by day, <folder>/project=<name>/date=<YYYY-MM-DD>/part-*.parquet, as pyarrow, DuckDB and Spark
read it; a SQLAlchemy URL gets the table `predictions`. One row per input. A thread writes; a request only leaves its
objects in a queue, and where that is full the rows are dropped and counted.
"""

import json
import logging
import queue
import random
import sys
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple, Protocol

from pydantic import BaseModel

from roadmap.prediction_log.log import Row, Target, target

FLUSH_SECONDS = 30.0
SWITCH_SECONDS = 0.0005  # until a request that waits gets its turn beside the thread; Python's own is ten times that
MOST_WAITING = 1_000  # inputs in the queue, still as objects
MOST_ROWS = 10_000  # written out earlier than after FLUSH_SECONDS
MOST_BYTES = 64 * 2**20  # of text kept while nothing can be written; beyond, rows are dropped

log = logging.getLogger("serving")


class Asked(NamedTuple):
    """What a request leaves for the thread."""

    time: float
    model: Any
    inputs: Sequence[BaseModel]
    outputs: Sequence[dict[str, Any]]
    request_id: str
    seconds: float

    def rows(self) -> list[Row]:
        manifest = self.model.manifest
        about = (datetime.fromtimestamp(self.time, UTC), self.request_id, self.model.name, manifest.version)
        return [
            Row(*about, manifest.profile, one.model_dump_json(by_alias=True), _text(output), self.seconds)
            for one, output in zip(self.inputs, self.outputs, strict=True)
        ]


def _text(output: dict[str, Any]) -> str:
    return json.dumps(output, ensure_ascii=False)


class Counts(Protocol):
    """Who is told how many rows were written and how many were lost: the server's metrics."""

    def recorded(self, project: str, rows: int) -> None: ...

    def dropped(self, project: str, rows: int) -> None: ...


class Recorder:
    """Takes what was answered, and has it written."""

    def __init__(
        self,
        url: str,
        share: float,
        counts: Counts,
        flush_seconds: float = FLUSH_SECONDS,
        most: int = MOST_WAITING,
    ) -> None:
        self.url, self.share, self.counts, self.flush_seconds, self.most = url, share, counts, flush_seconds, most
        self._queue: queue.SimpleQueue[Asked | None] = queue.SimpleQueue()
        self._waiting = 0  # inputs in the queue
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closed = False

    def record(
        self,
        model: Any,
        inputs: Sequence[BaseModel],
        outputs: Sequence[dict[str, Any]],
        request_id: str,
        seconds: float,
        always: bool = False,
    ) -> bool:
        """Whether it will be written. Never waits and never raises on account of the log's state.

        always: it is no draw of the share, since it belongs to a request that was drawn
        """
        if not always and self.share < 1 and random.random() >= self.share:
            return False
        with self._lock:
            taken = not self._closed and self._waiting + len(inputs) <= self.most
            if taken:
                self._waiting += len(inputs)
                if self._thread is None:  # here and not before: a worker may have been forked since
                    sys.setswitchinterval(SWITCH_SECONDS)
                    self._thread = threading.Thread(target=self._work, name="prediction log", daemon=True)
                    self._thread.start()
        if taken:
            self._queue.put(Asked(time.time(), model, inputs, outputs, request_id, seconds))
        else:
            self.counts.dropped(model.name, len(inputs))
        return taken

    def close(self, timeout: float = 10.0) -> None:
        """Writes what is there; what comes later is dropped."""
        with self._lock:
            self._closed = True
        self._queue.put(None)
        if self._thread:
            self._thread.join(timeout)

    def _work(self) -> None:
        rows: list[Row] = []
        size, due, goes_on = 0, time.monotonic() + self.flush_seconds, True
        while goes_on:
            try:
                asked = self._queue.get(timeout=max(0.0, due - time.monotonic()))
                goes_on = asked is not None
                if asked:
                    with self._lock:
                        self._waiting -= len(asked.inputs)
                    added = self._rows(asked)
                    if size > MOST_BYTES:
                        self.counts.dropped(asked.model.name, len(added))
                    else:
                        rows += added
                        size += sum(len(row.input) + len(row.output) for row in added)
            except queue.Empty:
                pass
            full = len(rows) >= MOST_ROWS or size > MOST_BYTES
            if time.monotonic() < due and goes_on and not (full and self._writable):
                continue
            due = time.monotonic() + self.flush_seconds
            if self._written(rows):
                rows, size = [], 0
        for row in rows:
            self.counts.dropped(row.project, 1)

    _writable = True  # whether the last attempt went well; if not, the next waits for its time
    _target: Target | None = None

    def _rows(self, asked: Asked) -> list[Row]:
        try:
            return asked.rows()
        except Exception:  # one answer that can't be written must not end the log
            log.exception("a prediction of %s can't be recorded", asked.model.name)
            self.counts.dropped(asked.model.name, len(asked.inputs))
            return []

    def _written(self, rows: list[Row]) -> bool:
        if not rows:
            return True
        try:
            self._target = self._target or target(self.url)
            self._target.write(rows)
        except Exception as error:
            self._writable = False
            # The type alone: a database's message may hold its address, with the password.
            log.error(
                "%d predictions can't be written (%s); they are kept and tried again", len(rows), type(error).__name__
            )
            return False
        self._writable = True
        for project in {row.project for row in rows}:
            self.counts.recorded(project, sum(row.project == project for row in rows))
        return True
