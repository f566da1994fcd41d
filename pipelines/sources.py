"""Before prepare: what lies behind each `data.path`? -> artifacts/sources/<project>.json

DVC tracks the parameter, which stays the same when the file changes. The stage `store`, which runs always, begins with
this: it writes a hash of the content, on which `prepare` depends. Nothing is copied into DVC's cache; `dvc add` keeps
versions. A file is read again only if its inode says that it was touched; its times and its place are not content.
"""

import hashlib
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from roadmap.config.params import names_of, params
from roadmap.io.atomic import write_atomically
from roadmap.io.errors import UsageError

FOLDER = Path("artifacts/sources")
SEEN = Path(".dvc/tmp/sources.json")  # path -> inode's data, sha256
RECENT = 2.0  # seconds within which a second change may leave the inode's times as they are


class Hashes:
    """sha256 of files, remembered by size, times, inode and device: a write changes ctime, whatever tool does it."""

    def __init__(self, memory: Path) -> None:
        self.memory = memory
        try:
            self.known: dict[str, Any] = dict(json.loads(memory.read_bytes()))
        except (OSError, ValueError, TypeError):
            self.known = {}
        self.used: dict[str, Any] = {}

    def hash_of(self, file: Path) -> str:
        """Raises: OSError: it can't be read."""
        name, before = str(file.absolute()), inode(file)
        found = self.known.get(name)
        if not (isinstance(found, list) and len(found) == 2 and found[0] == before):
            with file.open("rb") as content:
                found = [before, hashlib.file_digest(content, "sha256").hexdigest()]
        if inode(file) == before and time.time() - file.stat().st_ctime > RECENT:
            self.used[name] = found
        return str(found[1])

    def save(self) -> None:
        if self.used != self.known:
            write_atomically(self.memory, json.dumps(self.used))


def inode(file: Path) -> list[int]:
    found = file.stat()
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino, found.st_dev]


def paths(settings: object, profile: str) -> Iterator[str]:
    """The values of every `path` in a project's settings, also of one that differs by profile or is several."""
    for key, value in settings.items() if isinstance(settings, dict) else ():
        if key == "path" and isinstance(value, dict):
            value = value.get(profile)
        if key == "path" and isinstance(value, str | list):
            yield from [value] if isinstance(value, str) else value
        elif isinstance(value, dict):
            yield from paths(value, profile)


def digest(place: Path, hashes: Hashes) -> str | None:
    """Of a file's content, or of the names and contents in a folder; None where nothing can be read."""
    try:
        if not place.is_dir():
            return hashes.hash_of(place)
        files = sorted(file.relative_to(place).as_posix() for file in place.rglob("*") if file.is_file())
        lines = "".join(f"{hashes.hash_of(place / name)} {json.dumps(name)}\n" for name in files)
        return hashlib.sha256(lines.encode("utf-8", "surrogateescape")).hexdigest()
    except OSError:  # prepare says what is wrong
        return None


def main() -> None:
    try:
        config = params()
        names = names_of(config.get("projects") or ())
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    hashes = Hashes(SEEN)
    FOLDER.mkdir(parents=True, exist_ok=True)
    files = {}
    for name in names:
        found = [digest(Path(path), hashes) for path in paths(config["projects"][name], config.get("profile", ""))]
        files[f"{name}.json"] = json.dumps({"sha256": found}) + "\n"
    for file in FOLDER.iterdir():
        if file.name not in files:  # of a project that is gone
            file.unlink()
    for name, content in files.items():
        if not (FOLDER / name).exists() or (FOLDER / name).read_text() != content:
            (FOLDER / name).write_text(content)
    hashes.save()


if __name__ == "__main__":
    main()
