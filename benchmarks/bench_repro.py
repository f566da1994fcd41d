"""`dvc repro` on the sample: each project from clean, then all with nothing to do. In a clone of HEAD, thrown away.

python -m benchmarks.bench_repro [--project mnist ...]
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

from benchmarks import machine

ROOT = Path(__file__).parents[1]
PROJECTS = list(yaml.safe_load((ROOT / "params.yaml").read_text())["projects"])


def timed(command: list[str], folder: Path) -> float:
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    started = time.perf_counter()
    subprocess.run(command, cwd=folder, env=env, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--project", nargs="+", choices=PROJECTS, default=PROJECTS, metavar="NAME")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        clone = Path(scratch) / "clone"
        subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True)
        clean = {name: timed(["dvc", "repro", f"register@{name}", f"report@{name}"], clone) for name in args.project}
        whole = args.project == PROJECTS
        idle = min(timed(["dvc", "repro"], clone) for _ in range(3)) if whole else None
    print(machine.line())
    print("| dvc repro, sample profile | seconds | budget |\n| --- | --- | --- |")
    for name, seconds in clean.items():
        print(f"| {name}, from clean | {seconds:.1f} | 90 |")
    if idle is not None:
        print(f"| all of them, from clean | {sum(clean.values()):.1f} | |\n| nothing to do | {idle:.1f} | 3 |")


if __name__ == "__main__":
    main()
