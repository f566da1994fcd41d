"""What is collected from the prediction log: each labelled row once, with its origin."""

import signal
import subprocess
import sys
from pathlib import Path

from roadmap.feedback import collected
from tests.support.checkouts import ROOT, environment
from tests.support.feedback import MINUTE, NOW, answered


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def ids(folder: Path) -> list[str]:
    return [row.request_id for row in collected.read(folder)]


def test_nothing_is_collected_twice(tmp_path: Path) -> None:
    folder = tmp_path / "titanic"
    collected.begin(folder)
    assert (collected.read(folder), collected.windows(folder)) == ([], [])
    assert collected.add(folder, [answered(n) for n in range(3)], NOW) == 3
    before = contents(folder)
    assert collected.add(folder, [answered(n) for n in range(3)], NOW + MINUTE) == 0
    assert contents(folder) == before
    assert collected.add(folder, [answered(n) for n in range(5)], NOW + MINUTE) == 2
    assert ids(folder) == [f"r{n}" for n in range(5)]
    collected.begin(folder)
    assert len(ids(folder)) == 5


def test_every_collection_records_its_origin(tmp_path: Path) -> None:
    folder = tmp_path / "titanic"
    collected.add(folder, [answered(0), answered(1, version="v2")], NOW + 9 * MINUTE)
    collected.add(folder, [answered(2, version="v3")], NOW + 10 * MINUTE)
    first, second = collected.windows(folder)
    assert (first["collected"], first["since"], first["until"]) == (
        "2026-03-01T00:09:00+00:00", "2026-03-01T00:00:00+00:00", "2026-03-01T00:01:00+00:00",
    )  # fmt: skip
    assert (first["rows"], first["versions"], second["rows"], second["versions"]) == (2, ["v1", "v2"], 1, ["v3"])
    other = tmp_path / "other"
    collected.add(other, [answered(0), answered(1, version="v2")], NOW)
    assert collected.windows(other)[0]["sha256"] == first["sha256"] != second["sha256"]


def test_a_shadow_prediction_is_the_same_row(tmp_path: Path) -> None:
    assert collected.add(tmp_path / "x", [answered(0), answered(0, version="shadow")], NOW) == 1
    assert [row.version for row in collected.read(tmp_path / "x")] == ["v1"]


def test_corrected_labels_count(tmp_path: Path) -> None:
    collected.add(tmp_path / "x", [answered(0), answered(1)], NOW)
    assert collected.add(tmp_path / "x", [answered(0, label="died"), answered(1)], NOW) == 1
    assert [row.label for row in collected.read(tmp_path / "x")] == ["died", "survived"]


def test_new_rows_replace_the_oldest(tmp_path: Path) -> None:
    collected.add(tmp_path / "x", [answered(n) for n in range(4)], NOW, most=4)
    assert collected.add(tmp_path / "x", [answered(n) for n in range(6)], NOW, most=4) == 2
    assert ids(tmp_path / "x") == ["r2", "r3", "r4", "r5"]
    assert collected.add(tmp_path / "x", [answered(n) for n in range(6)], NOW, most=4) == 0


def test_a_killed_collection_leaves_the_old_one(tmp_path: Path) -> None:
    folder = tmp_path / "titanic"
    collected.add(folder, [answered(0)], NOW)
    before = contents(folder)
    code = f"""
import os, signal, sys
sys.path.insert(0, {str(ROOT)!r})
from pathlib import Path
from pyarrow import parquet
from roadmap.feedback import collected
from tests.support.feedback import NOW, answered
write = parquet.write_table
def killed(*arguments, **options):
    write(*arguments, **options)
    os.kill(os.getpid(), signal.SIGKILL)
parquet.write_table = killed
collected.add(Path({str(folder)!r}), [answered(1)], NOW)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment(), capture_output=True, timeout=60)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert contents(folder) == before
    assert collected.add(folder, [answered(1)], NOW) == 1
