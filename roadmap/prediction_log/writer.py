"""The process that writes predictions from the spool to the log: `python -m roadmap.prediction_log.writer`.

A server starts it and sends its options on stdin as a line of JSON, because the log's URL may have a password, which
must not be on the command line. On stdout it reports successes and failures as lines of JSON. When stdin closes,
because the server stopped or was killed, it writes the complete segments and ends.

It imports nothing of the server. Rows are written exactly once unless the machine crashes: an unconfirmed batch is
written again under its name, and the log knows the names of its batches.
"""

import json
import os
import select
import signal
import time
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from pydantic_core import from_json, to_json

from roadmap.prediction_log.log import PredictionRecord, PredictionStore, open_store
from roadmap.prediction_log.spool import SEGMENT_BYTES, Segment, SpoolBatch, segments

STDIN, STDOUT = 0, 1
LOOK_SECONDS = 1.0  # between polls of the spool
MANY_BYTES = SEGMENT_BYTES // 2  # written at once


class SpoolWriter:
    def __init__(self, url: str, folder: Path, server: str, flush_seconds: float) -> None:
        self.url, self.folder, self.server, self.flush_seconds = url, folder, server, flush_seconds
        self._segments: dict[Path, Segment] = {}
        self._target: PredictionStore | None = None
        self._retry_at = 0.0  # after a failure

    def run(self) -> None:
        """Runs until stdin closes."""
        served = True
        while served:
            served = not ended(min(LOOK_SECONDS, self.flush_seconds))
            self.poll(last=not served)
        with suppress(OSError):  # it is in use
            self.folder.rmdir()

    def poll(self, last: bool = False) -> None:
        """Writes segments that are complete, large or old enough; after a failure only after a pause, or if `last`."""
        paths = segments(self.folder)
        self._segments = {path: self._segments.get(path) or Segment(path) for path in paths}
        for segment in self._segments.values():
            complete = segment.complete(self.server if last else None)  # read before its lines
            waited = time.monotonic() - segment.written_at >= self.flush_seconds
            if not (complete or waited or segment.unread() >= MANY_BYTES):
                continue
            if not last and time.monotonic() < self._retry_at:
                return
            while batch := segment.batch():
                if not self._write(batch):
                    return
                segment.done()
            if complete:
                segment.remove()
        known = {path.stem for path in paths}
        for path in self.folder.glob("*.json"):  # of a segment whose deletion was interrupted
            if path.stem not in known:
                path.unlink(missing_ok=True)

    def _write(self, batch: SpoolBatch) -> bool:
        found, unreadable = rows(batch.lines)
        try:
            self._target = self._target or open_store(self.url)
            refused = self._target.write(found, batch.name)
        except Exception as error:
            self._retry_at = time.monotonic() + self.flush_seconds
            # Only the type: a database's message may contain its URL with the password.
            report(failed=len(found), why=type(error).__name__)
            return False
        self._retry_at = 0.0
        lost = Counter(row.project for row in refused)
        report(recorded=Counter(row.project for row in found) - lost, dropped=lost, unreadable=unreadable)
        return True


def rows(lines: list[bytes]) -> tuple[list[PredictionRecord], int]:
    """Parses the recorder's lines; also returns the number of unreadable ones, left by a crash of the machine."""
    found: list[PredictionRecord] = []
    unreadable = 0
    for line in lines:
        try:
            head, inputs, outputs = line.split(b"\t")
            moment, request_id, project, version, profile, seconds, count = from_json(head)
            about = (datetime.fromtimestamp(moment, UTC), request_id, project, version, profile)
            pairs = zip(elements(inputs, count), elements(outputs, count), strict=True)
            found += [PredictionRecord(*about, given, answered, seconds) for given, answered in pairs]
        except (ValueError, TypeError):
            unreadable += 1
    return found, unreadable


def elements(array: bytes, count: int) -> list[str]:
    """The JSON of each element; without parsing for a single element, the usual case."""
    return [array[1:-1].decode()] if count == 1 else [to_json(one).decode() for one in from_json(array)]


def ended(seconds: float) -> bool:
    """Whether stdin closes within this time."""
    return bool(select.select([STDIN], [], [], seconds)[0])


def report(**message: object) -> None:
    """One line of JSON on standard output."""
    with suppress(OSError):  # the server is gone
        os.write(STDOUT, json.dumps(message).encode() + b"\n")


def yield_to_servers() -> None:
    """A low priority that still makes progress on busy cores and preempts nobody."""
    os.nice(19)
    if hasattr(os, "SCHED_BATCH"):
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def main() -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):  # it ends after its server
        signal.signal(number, signal.SIG_IGN)
    content = os.read(STDIN, 2**16)
    if not content:  # its server was killed already
        return
    given = json.loads(content)
    if not ended(0):  # a stopping server won't wait for long
        yield_to_servers()
    SpoolWriter(given["url"], Path(given["folder"]), given["server"], given["flush_seconds"]).run()


if __name__ == "__main__":
    main()
