"""Atomic writes: an error inside the block leaves the old content and no temporary files."""

import os
from pathlib import Path

import pytest

from roadmap.io.atomic import atomic_file, atomic_folder, write_atomically


def test_a_file_is_written_atomically(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file.txt"
    write_atomically(path, "one")
    with pytest.raises(RuntimeError), atomic_file(path) as draft:
        draft.write_text("half")
        raise RuntimeError
    assert path.read_text() == "one"
    assert [one.name for one in path.parent.iterdir()] == ["file.txt"]


def test_secrets_are_never_readable_by_others(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    with atomic_file(path, mode=0o600) as draft:
        assert draft.stat().st_mode & 0o777 == 0o600
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_folder_is_replaced_atomically(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    for content in ("one", "two"):
        with atomic_folder(path) as draft:
            (draft / content).write_text(content)
    with pytest.raises(RuntimeError), atomic_folder(path) as draft:
        raise RuntimeError
    assert [one.name for one in path.iterdir()] == ["two"]
    assert [one.name for one in tmp_path.iterdir()] == ["folder"]


def test_content_is_synced_before_the_rename(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise a power failure could leave an empty file under the name."""
    events: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def synced(handle: int) -> None:
        fsync(handle)
        events.append(f"sync {os.stat(handle).st_ino}")

    def renamed(self: Path, target: Path) -> Path:
        events.append("rename")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", renamed)
    write_atomically(tmp_path / "file", "content")
    here = f"sync {tmp_path.stat().st_ino}"
    assert events == [f"sync {(tmp_path / 'file').stat().st_ino}", "rename", here]
    events.clear()
    with atomic_folder(tmp_path / "folder") as draft:
        (draft / "inner").mkdir()
        (draft / "inner" / "file").write_text("content")
    inside = [tmp_path / "folder", tmp_path / "folder" / "inner", tmp_path / "folder" / "inner" / "file"]
    assert {f"sync {path.stat().st_ino}" for path in inside} == set(events[: events.index("rename")])
    assert events[-1] == here


def test_symbolic_links_are_replaced_not_followed(tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "kept").write_text("kept")
    (tmp_path / "link").symlink_to("target")
    with atomic_folder(tmp_path / "link") as draft:
        (draft / "new").write_text("new")
    assert not (tmp_path / "link").is_symlink()
    assert (tmp_path / "target" / "kept").exists()
