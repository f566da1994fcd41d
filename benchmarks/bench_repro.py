"""`dvc repro` on the sample: from clean, and with nothing to do. Runs in a clone of HEAD in a temporary folder.

python -m benchmarks.bench_repro
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import machine

ROOT = Path(__file__).parents[1]


def timed(command: list[str], folder: Path) -> float:
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    started = time.perf_counter()
    subprocess.run(command, cwd=folder, env=env, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        clone = Path(scratch) / "clone"
        subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True)
        clean = timed(["dvc", "repro"], clone)
        idle = min(timed(["dvc", "repro"], clone) for _ in range(3))
    print(machine.line())
    print("| dvc repro, sample profile | seconds | budget |\n| --- | --- | --- |")
    print(f"| from clean | {clean:.1f} | 90 |\n| nothing to do | {idle:.1f} | 3 |")


if __name__ == "__main__":
    main()
