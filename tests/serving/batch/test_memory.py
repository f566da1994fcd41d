"""Batch scoring: memory is bounded."""

import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.checkouts import ROOT, environment
from tests.support.scoring import many

PEAK = """
import resource, sys
from serving.batch.__main__ import main
assert main(sys.argv[1:]) == 0
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def peak(folder: Path, *arguments: str) -> int:
    """Peak memory in MiB."""
    command = [sys.executable, "-c", PEAK, *arguments]
    done = subprocess.run(command, cwd=folder, env=environment(PYTHONPATH=str(ROOT)), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return int(done.stdout.split()[-1])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_memory_does_not_grow_with_the_file(artifacts: Path, tmp_path: Path, kind: str) -> None:
    noise = random.Random(0).randbytes(16_000).hex()
    found = []
    for rows in (3_000, 9_000):  # of 32 kB
        many(tmp_path / f"{rows}.csv", rows, noise)
        arguments = (f"bundles={artifacts}", "project=titanic", f"input={rows}.csv", f"output={rows}.out.{kind}")
        found.append(peak(tmp_path, *arguments))
    grown, larger = found[1] - found[0], 6_000 * 32_000 / 2**20
    assert grown < larger / 2, f"{grown} MiB more for a file that is {larger:.0f} MiB larger"
