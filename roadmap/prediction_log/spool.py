"""The spool: append-only files in which predictions wait for the writer, and which survive crashes of both processes.

A server appends lines to a segment, <time>-<server>.jsonl, and starts the next when it is full. It locks its current
segment, so an unlocked one is complete, whether its server closed it or was killed. <segment>.json has the writer's
position; a segment that is complete and read is deleted.
"""

import errno
import fcntl
import hashlib
import json
import logging
import os
import threading
import time
import uuid
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from roadmap.io.atomic import write_atomically

SYNC_SECONDS = 0.25  # what a killed server can lose
RETRY_SECONDS = 1.0  # after the disk was full
MAX_VECTORS = 1024  # of one writev: IOV_MAX of Linux and macOS
MAX_BUFFER_BYTES = 16 * 2**20  # of buffered lines while the disk is slow or full; beyond, predictions are dropped
SEGMENT_BYTES = 8 * 2**20
MAX_BYTES = 256 * 2**20  # of a log's segments, while the log is unavailable

log = logging.getLogger("serving")


def folder_of(spool: Path, url: str) -> Path:
    """The folder in `spool` for the log at `url`; its name does not depend on the password."""
    if "://" in url:
        parts = urlsplit(url)
        url = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
    else:
        url = str(Path(url).absolute())
    return spool / hashlib.sha256(url.encode()).hexdigest()[:16]


def segments(folder: Path) -> list[Path]:
    """The segments, oldest first."""
    return sorted(folder.glob("*.jsonl"))


def writer_lock(folder: Path) -> int | None:
    """The lock of the folder's only writer, a file descriptor; None if another has it, or without a folder."""
    try:
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return None
    with suppress(OSError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(lock), folder.stat()):  # the last writer may have removed the folder
            return lock
    os.close(lock)
    return None


class Spool:
    """The server's end. Thread-safe, but each process needs its own.

    A thread writes the buffer a few times a second, which is cheaper than a write per request.
    """

    def __init__(self, folder: Path, max_bytes: int = MAX_BYTES, segment_bytes: int = SEGMENT_BYTES) -> None:
        self.folder, self.max_bytes, self.segment_bytes = folder, max_bytes, segment_bytes
        self.server = uuid.uuid4().hex[:12]  # part of the names of its segments
        self._lock = threading.Lock()  # of the next four
        self._lines: list[bytes] = []
        self._size = 0
        self._closed = False
        self._thread: threading.Thread | None = None
        self._closing = threading.Event()
        # Only used by the thread.
        self._file: int | None = None
        self._own: list[Path] = []
        self._trouble: str | None = None

    def append(self, line: bytes) -> bool:
        """Buffers a line; returns whether there was room. Never waits for the disk."""
        with self._lock:
            if self._closed or (self._size + len(line) > MAX_BUFFER_BYTES and self._lines):
                return False
            self._lines.append(line)
            self._size += len(line)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="prediction spool", daemon=True)
                self._thread.start()
            return True

    def close(self, timeout: float | None = None) -> list[bytes]:
        """Writes the buffer and completes the segment. Later lines are rejected.

        Returns:
            The lines that did not fit on the disk.
        """
        with self._lock:
            self._closed = True
        self._closing.set()
        if self._thread is not None:
            self._thread.join(timeout)
        return self._lines

    def left(self) -> bool:
        """Whether there are lines that the writer has not read."""
        return any(path.exists() for path in self._own)

    def _work(self) -> None:
        while not self._closing.wait(RETRY_SECONDS if self._trouble else SYNC_SECONDS):
            self._sync()
        self._sync()
        self._release()

    def _sync(self) -> None:
        """Writes the lines to disk. On failure they stay for the next attempt."""
        with self._lock:
            lines = self._lines[:]
        if not lines:
            return
        try:
            self._write(lines)
        except OSError as error:
            if str(error) != self._trouble:
                self._trouble = str(error)
                limit = f"up to {MAX_BUFFER_BYTES / 2**20:.0f} MiB stay in memory"
                log.error("%s: cannot write predictions: %s; %s, more are dropped", self.folder, error, limit)
            return
        self._trouble = None
        with self._lock:
            del self._lines[: len(lines)]
            self._size = sum(map(len, self._lines))

    def _write(self, lines: list[bytes]) -> None:
        """All of them or none.

        Raises:
            OSError: the disk or this log's share of it is full, or the folder is not writable.
        """
        needed, size = sum(map(len, lines)), 0
        if self._file is not None:
            now = os.fstat(self._file)
            size = now.st_size
            if not now.st_nlink or size + needed > self.segment_bytes:  # removed, or full
                self._release()
        if self._file is None:
            self._file, size = self._begin(), 0
        try:
            chunks = (lines[at : at + MAX_VECTORS] for at in range(0, len(lines), MAX_VECTORS))
            if sum(os.writev(self._file, chunk) for chunk in chunks) < needed:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError:
            os.ftruncate(self._file, size)
            raise

    def _release(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _begin(self) -> int:
        """Opens a new segment, if there is room for a full one."""
        used = sum(map(_size, segments(self.folder)))
        if used + self.segment_bytes > self.max_bytes:
            raise OSError(errno.EDQUOT, f"{self.max_bytes / 2**20:g} MiB are waiting already")
        name = f"{datetime.now(UTC):%Y%m%d-%H%M%S-%f}-{self.server}"
        draft, path = self.folder / f".{name}", self.folder / f"{name}.jsonl"
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Locked before it is named: the writer treats an unlocked one as complete.
        file = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_WRONLY, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            draft.rename(path)
        except BaseException:
            os.close(file)
            draft.unlink(missing_ok=True)
            raise
        self._own = [*(one for one in self._own if one.exists()), path]
        return file


def _size(path: Path) -> int:
    with suppress(FileNotFoundError):  # the writer may have deleted it
        return path.stat().st_size
    return 0


class SpoolBatch(NamedTuple):
    """Lines of a segment that are written together. A name always identifies the same lines."""

    name: str
    lines: list[bytes]


class Segment:
    """The writer's end."""

    def __init__(self, path: Path) -> None:
        self.path, self.progress = path, path.with_suffix(".json")
        self._file = path.open("rb")
        self.start = self.end = 0  # of the current batch; equal if there is none
        with suppress(FileNotFoundError, ValueError):  # it may be empty after a crash of the machine
            self.start, self.end = json.loads(self.progress.read_bytes())
        self.written_at = time.monotonic()  # time of its last line, or of its discovery

    def complete(self, ended: str | None = None) -> bool:
        """Whether nobody appends to it any more.

        ended: a server that has ended, whose lock the kernel may not have released yet
        """
        own = ended is not None and self.path.stem.endswith(ended)
        try:
            fcntl.flock(self._file, fcntl.LOCK_SH | (0 if own else fcntl.LOCK_NB))
        except BlockingIOError:
            return False
        return True

    def unread(self) -> int:
        """Bytes."""
        return os.fstat(self._file.fileno()).st_size - self.start

    def batch(self) -> SpoolBatch | None:
        """The unread complete lines, or those of the current batch if it is not `done`."""
        if self.end == self.start:
            size = self._read(self.unread()).rfind(b"\n") + 1
            if not size:
                return None
            self._note(self.start, self.start + size)
        return SpoolBatch(f"{self.path.stem}-{self.start:08d}", self._read(self.end - self.start).splitlines())

    def done(self) -> None:
        """Marks the batch as written."""
        self._note(self.end, self.end)
        self.written_at = time.monotonic()

    def remove(self) -> None:
        """Deletes in this order: a segment without its position would be read again."""
        self._file.close()
        self.path.unlink(missing_ok=True)
        self.progress.unlink(missing_ok=True)

    def _read(self, size: int) -> bytes:
        return os.pread(self._file.fileno(), size, self.start)

    def _note(self, start: int, end: int) -> None:
        write_atomically(self.progress, json.dumps([start, end]), 0o600)
        self.start, self.end = start, end
