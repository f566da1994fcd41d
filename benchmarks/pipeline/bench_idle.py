"""`dvc repro` with nothing to do, by the number of projects: python -m benchmarks.pipeline.bench_idle [--projects 7 20]

In temporary clones of HEAD, with copies of titanic as further projects and dummy outputs. Wall-clock seconds are those
of the fastest of three runs; CPU seconds, the stage `store` included, are comparable on a busy machine too.
"""

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

from benchmarks import machine
from tests.support.pipelines.dummies import write_dummies

ROOT = Path(__file__).parents[2]
BUDGET = 3.0  # seconds with twenty projects
ENVIRONMENT = {
    **os.environ,
    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    "TRACKING": "none",
}


def reproduced(folder: Path, projects: int) -> Path:
    """A clone with so many projects, in which DVC finds everything up to date."""
    subprocess.run(["git", "clone", "-q", str(ROOT), str(folder)], check=True)
    params = yaml.safe_load((folder / "params.yaml").read_text())
    for number in range(projects - len(params["projects"])):
        name = f"titanic_{number}"
        params["projects"][name] = params["projects"]["titanic"]
        shutil.copytree(folder / "pipelines/titanic", folder / "pipelines" / name)
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    write_dummies(folder)
    for command in (["python", "-m", "pipelines.store"], ["dvc", "commit", "-q", "--force"], ["dvc", "repro", "-q"]):
        subprocess.run(command, cwd=folder, env=ENVIRONMENT, check=True, stdout=subprocess.DEVNULL)
    return folder


def idle(folder: Path) -> tuple[float, float]:
    """Wall-clock and CPU seconds of one `dvc repro`."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(["dvc", "repro"], cwd=folder, env=ENVIRONMENT, check=True, stdout=subprocess.PIPE, text=True)
    seconds, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.stdout.count("Running stage") == 1, "store alone"
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--projects", type=int, nargs="+", default=[7, 20], metavar="N")
    args = parser.parse_args()
    rows = []
    for projects in args.projects:
        with tempfile.TemporaryDirectory() as scratch:
            folder = reproduced(Path(scratch) / "clone", projects)
            seconds, cpu = map(min, zip(*(idle(folder) for _ in range(3)), strict=True))
            lines = len((folder / "dvc.lock").read_text().splitlines())
            rows.append(f"| {projects} | {seconds:.1f} | {cpu:.1f} | {lines:,} | {BUDGET if projects == 20 else ''} |")
    print(machine.line())
    print("| projects | seconds | CPU seconds | lines of dvc.lock | budget |\n| --- | --- | --- | --- | --- |")
    print("\n".join(rows))


if __name__ == "__main__":
    main()
