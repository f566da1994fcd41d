"""A file or folder behind `data.path` counts by its content only."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from pipelines import sources

PARAMS = """
profile: sample
projects:
  table: {data: {path: my.csv, target: y}}
  folder: {data: {path: prices}}
  none: {data: {path: null, rows: 5}}
  either: {data: {path: {sample: my.csv, full: other.csv}}}
"""


@pytest.fixture(autouse=True)
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text(PARAMS)
    (tmp_path / "my.csv").write_text("a,y\n1,2\n")
    (tmp_path / "prices" / "more").mkdir(parents=True)
    (tmp_path / "prices" / "A.csv").write_text("1")
    (tmp_path / "prices" / "more" / "B.csv").write_text("2")
    return tmp_path


def looked() -> dict[str, str]:
    """What the stage writes, by project."""
    sources.main()
    return {path.stem: path.read_text() for path in sources.FOLDER.iterdir()}


def changed(before: dict[str, str]) -> set[str]:
    return {name for name, text in looked().items() if before.get(name) != text}


def same_size_and_time(path: Path) -> None:
    """Other content with the same size and time."""
    found = path.stat()
    path.write_text(path.read_text().replace("1", "3"))
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (found.st_size, found.st_mtime_ns)


def touch(*files: Path) -> None:
    for file in files:
        file.touch()


EDITS: dict[str, tuple[Any, set[str]]] = {
    "a row more": (lambda: Path("my.csv").write_text("a,y\n1,2\n3,4\n"), {"table", "either"}),
    "the same size and time": (lambda: same_size_and_time(Path("my.csv")), {"table", "either"}),
    "gone": (lambda: Path("my.csv").unlink(), {"table", "either"}),
    "a file more": (lambda: Path("prices/C.csv").write_text("1"), {"folder"}),
    "a file less": (lambda: Path("prices/more/B.csv").unlink(), {"folder"}),
    "another name": (lambda: Path("prices/A.csv").rename("prices/Z.csv"), {"folder"}),
    "a changed file in a folder": (lambda: same_size_and_time(Path("prices/A.csv")), {"folder"}),
    "two files exchanged": (
        lambda: [Path("prices/A.csv").write_text("2"), Path("prices/more/B.csv").write_text("1")],
        {"folder"},
    ),
    "touched": (lambda: touch(*Path().rglob("*.csv")), set()),
    "written again": (lambda: Path("my.csv").write_text("a,y\n1,2\n"), set()),
    "replaced by a copy": (lambda: [shutil.copy("my.csv", "new"), Path("new").replace("my.csv")], set()),
    "another profile's file": (lambda: Path("other.csv").write_text("x"), set()),
    "another permission": (lambda: Path("my.csv").chmod(0o600), set()),
}


@pytest.mark.parametrize("edit", EDITS)
def test_only_content_counts(edit: str) -> None:
    before = looked()
    assert changed(before) == set()
    do, expected = EDITS[edit]
    do()
    assert changed(before) == expected


def test_several_files_are_all_watched(checkout: Path) -> None:
    """Of sentence pairs each language may have its file."""
    both = {"path": ["my.csv", "other.csv"]}
    assert list(sources.paths({"data": both}, "sample")) == both["path"]


def test_the_full_profile_has_its_own_file(checkout: Path) -> None:
    before = looked()
    (checkout / "params.yaml").write_text(PARAMS.replace("profile: sample", "profile: full"))
    assert changed(before) == {"either"}


def test_unchanged_files_are_not_read_again(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For gigabytes only the inodes are read."""
    monkeypatch.setattr(sources, "RECENT", -1.0)
    before = looked()
    monkeypatch.setattr(sources.hashlib, "file_digest", lambda *_: pytest.fail("the file was read"))
    assert looked() == before


def test_a_removed_project_leaves_nothing(checkout: Path) -> None:
    assert set(looked()) == {"table", "folder", "none", "either"}
    (checkout / "params.yaml").write_text("profile: sample\nprojects: {none: {data: {path: null}}}\n")
    assert looked() == {"none": json.dumps({"sha256": []}) + "\n"}


def test_a_corrupt_cache_of_hashes_is_discarded(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "RECENT", -1.0)
    before = looked()
    for content in ("", "[]", '{"a": 5}', "{"):
        sources.SEEN.write_text(content)
        assert looked() == before
