"""Resuming: checkpoints of an interrupted training are reused only by the same training, and if they are whole."""

import fcntl
import json
import os
import shutil
import socket
import uuid
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from roadmap.io.atomic import write_atomically
from roadmap.io.errors import Unavailable
from roadmap.io.json import JsonObject

CHECKPOINT = "last.ckpt"


@contextmanager
def sole_training(project: str, folder: Path) -> Iterator[None]:
    """One training of a project at a time: a second one would write into the same checkpoints.

    The lock is of the operating system and ends with the process, however that ends.

    Args:
        folder: of the project's artifacts; locked.

    Raises:
        Unavailable: another process is training the project; names it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    who, handle = folder / ".training.json", os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Unavailable(f"{project}: is being trained {_by(who)}; wait until it ends, or end it") from None
        now = datetime.now().astimezone().isoformat(timespec="seconds")
        write_atomically(who, json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "since": now}))
        yield
        who.unlink()
    finally:
        os.close(handle)


def _by(who: Path) -> str:
    try:
        found = json.loads(who.read_text())
        return f"by process {found['pid']} on {found['host']} since {found['since']}"
    except (OSError, ValueError, KeyError):  # it has only just begun
        return "by another process"


def resume_or_start(folder: Path, fingerprint: JsonObject) -> str:
    """The id of the run with checkpoints in `folder` if it is the same training, else a new id.

    A damaged checkpoint is set aside with a note: the network that it is of is trained anew, with the same result.
    """
    path = folder / "fingerprint.json"
    fingerprint = {name: value for name, value in fingerprint.items() if name != "git_commit"}
    found = _read(path)
    if found.get("of") == fingerprint:
        print(f"resuming run {found['run'][:8]} from {folder}")
        for checkpoint in sorted(folder.rglob(CHECKPOINT)):
            _set_aside_if_damaged(checkpoint)
        return str(found["run"])
    shutil.rmtree(folder, ignore_errors=True)
    key = uuid.uuid4().hex
    write_atomically(path, json.dumps({"run": key, "of": fingerprint}))
    return key


def _read(path: Path) -> JsonObject:
    """Empty where there is none, or none that can be read."""
    if not path.exists():
        return {}
    try:
        found = json.loads(path.read_bytes())
        return {"run": found["run"][:], "of": found["of"]}
    except (ValueError, KeyError, TypeError) as error:
        print(f"warning: {path}: is damaged ({error}); its checkpoints are of no known training, which starts anew")
        return {}


def _set_aside_if_damaged(checkpoint: Path) -> None:
    """PyTorch writes a ZIP archive with a checksum of each member."""
    try:
        with zipfile.ZipFile(checkpoint) as archive:
            broken = archive.testzip()
        reason = f"{broken}: wrong checksum" if broken else ""
    except (zipfile.BadZipFile, EOFError, OSError, ValueError, NotImplementedError) as error:
        reason = str(error) or type(error).__name__
    if reason:
        set_aside(checkpoint, reason)


def set_aside(checkpoint: Path, reason: str) -> None:
    aside = checkpoint.with_name(f"{checkpoint.name}.damaged")
    if aside.is_dir():
        shutil.rmtree(aside)
    else:
        aside.unlink(missing_ok=True)  # a folder can't replace a file
    checkpoint.replace(aside)
    print(f"warning: {checkpoint}: is damaged ({reason}); kept as {aside.name}, {checkpoint.parent.name} starts anew")
