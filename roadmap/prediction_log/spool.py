"""Where predictions wait for the log's writer: append-only files that outlive the server and the writer.

A server appends lines to a segment, <time>-<server>.jsonl, and starts another when it is full. It holds a lock on the
segment that it appends to, so one without a lock is complete, whether its server has closed it or was killed. How far
the writer has read is in <segment>.json; a segment that is complete and read is deleted.
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

SYNC_SECONDS = 0.25  # what a server that is killed can lose
RETRY_SECONDS = 1.0  # after the disk was full
MAX_VECTORS = 1024  # of one writev: IOV_MAX of Linux and macOS
MAX_BUFFER_BYTES = 16 * 2**20  # of lines in memory, while the disk is slow or full; beyond, predictions are dropped
SEGMENT_BYTES = 8 * 2**20
MAX_BYTES = 256 * 2**20  # of one log's segments, while the log can't be written

log = logging.getLogger("serving")


def folder_of(spool: Path, url: str) -> Path:
    """The folder in `spool` for the log at `url`, whose password has no part in the name."""
    if "://" in url:
        parts = urlsplit(url)
        url = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
    else:
        url = str(Path(url).absolute())
    return spool / hashlib.sha256(url.encode()).hexdigest()[:16]


def segments(folder: Path) -> list[Path]:
    """The oldest first."""
    return sorted(folder.glob("*.jsonl"))


def writer_lock(folder: Path) -> int | None:
    """A file descriptor that marks its holder as the folder's one writer; None while there is another, or no folder."""
    try:
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return None
    with suppress(OSError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(lock), folder.stat()):  # the last writer may have removed the folder meanwhile
            return lock
    os.close(lock)
    return None


class Spool:
    """The server's end. Threads may share it, processes may not: each has segments of its own.

    A thread writes what has gathered, a few times a second: a write by each request would cost it more than its line.
    """

    def __init__(self, folder: Path, max_bytes: int = MAX_BYTES, segment_bytes: int = SEGMENT_BYTES) -> None:
        self.folder, self.max_bytes, self.segment_bytes = folder, max_bytes, segment_bytes
        self.server = uuid.uuid4().hex[:12]  # in the names of its segments
        self._lock = threading.Lock()  # of the next four
        self._lines: list[bytes] = []
        self._size = 0
        self._closed = False
        self._thread: threading.Thread | None = None
        self._closing = threading.Event()
        # Of the thread alone.
        self._file: int | None = None
        self._own: list[Path] = []
        self._trouble: str | None = None

    def append(self, line: bytes) -> bool:
        """Whether there was room. Never waits for the disk."""
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
        """Writes what is there and completes the segment. What comes later is refused.

        Returns:
            The lines that found no room on the disk.
        """
        with self._lock:
            self._closed = True
        self._closing.set()
        if self._thread is not None:
            self._thread.join(timeout)
        return self._lines

    def left(self) -> bool:
        """Whether the writer has not read all that was appended here."""
        return any(path.exists() for path in self._own)

    def _work(self) -> None:
        while not self._closing.wait(RETRY_SECONDS if self._trouble else SYNC_SECONDS):
            self._sync()
        self._sync()
        self._release()

    def _sync(self) -> None:
        """Moves the lines to the disk. Where that fails they stay, for the next attempt."""
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
                log.error("%s: predictions can't be kept there: %s; %s, more are dropped", self.folder, error, limit)
            return
        self._trouble = None
        with self._lock:
            del self._lines[: len(lines)]
            self._size = sum(map(len, self._lines))

    def _write(self, lines: list[bytes]) -> None:
        """All of them or none.

        Raises:
            OSError: the disk is full, or what this log may take of it, or the folder can't be written.
        """
        needed, size = sum(map(len, lines)), 0
        if self._file is not None:
            now = os.fstat(self._file)
            size = now.st_size
            if not now.st_nlink or size + needed > self.segment_bytes:  # removed by somebody, or full
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
        """A new segment, if there is room for a whole one."""
        used = sum(map(_size, segments(self.folder)))
        if used + self.segment_bytes > self.max_bytes:
            raise OSError(errno.EDQUOT, f"{self.max_bytes / 2**20:g} MiB wait there already")
        name = f"{datetime.now(UTC):%Y%m%d-%H%M%S-%f}-{self.server}"
        draft, path = self.folder / f".{name}", self.folder / f"{name}.jsonl"
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Locked before it has its name: the writer would take an unlocked one for complete.
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
    with suppress(FileNotFoundError):  # the writer may delete it meanwhile
        return path.stat().st_size
    return 0


class SpoolBatch(NamedTuple):
    """Lines of a segment that are written to the log at once. The same name always has the same lines."""

    name: str
    lines: list[bytes]


class Segment:
    """The writer's end."""

    def __init__(self, path: Path) -> None:
        self.path, self.progress = path, path.with_suffix(".json")
        self._file = path.open("rb")
        self.start = self.end = 0  # of the batch that was begun; equal where none was
        with suppress(FileNotFoundError, ValueError):  # a machine's crash may leave it empty
            self.start, self.end = json.loads(self.progress.read_bytes())
        self.written_at = time.monotonic()  # the last of its lines, or when it was found

    def complete(self, ended: str | None = None) -> bool:
        """Nobody appends to it any more.

        ended: a server that has closed its segments or is dead: the kernel may be about to release its lock
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
        """All whole lines that are unread, or those of the batch that was begun and has not been `done`."""
        if self.end == self.start:
            size = self._read(self.unread()).rfind(b"\n") + 1
            if not size:
                return None
            self._note(self.start, self.start + size)
        return SpoolBatch(f"{self.path.stem}-{self.start:08d}", self._read(self.end - self.start).splitlines())

    def done(self) -> None:
        """The batch is in the log."""
        self._note(self.end, self.end)
        self.written_at = time.monotonic()

    def remove(self) -> None:
        """In this order: a segment without its progress would be read again."""
        self._file.close()
        self.path.unlink(missing_ok=True)
        self.progress.unlink(missing_ok=True)

    def _read(self, size: int) -> bytes:
        return os.pread(self._file.fileno(), size, self.start)

    def _note(self, start: int, end: int) -> None:
        write_atomically(self.progress, json.dumps([start, end]), 0o600)
        self.start, self.end = start, end
