"""`dvc repro` on the sample: each project from clean, stage by stage, then all with nothing to do.

    python -m benchmarks.pipeline.bench_repro [--project titanic ...] [--json figures.json]

In a temporary clone of HEAD. Training is the time of the training loops, from history.csv; the rest is a project's
fixed cost: imports, measured in each stage (startup/), and the stages' other work. DVC's own time is the remainder. The
processes that log to MLflow run beside their stages, and count only if a stage waits for them. So does the fork server
(roadmap/fork_server.py), whose imports count for no stage; FORK_SERVER=off shows each stage's cost without it.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import yaml

from benchmarks import machine
from roadmap.training.history import read_history

ROOT = Path(__file__).parents[2]
PROJECTS = list(yaml.safe_load((ROOT / "params.yaml").read_text())["projects"])
STAGES = ("collect", "sources", "prepare", "report", "baselines", "train", "evaluate", "store", "register")
# Seconds on two idle cores; of a project that isn't named PROJECT.
PROJECT, BUDGETS = 40.0, {"titanic": 12.0, "all": 240.0, "nothing to do": 3.0}


@dataclass(frozen=True)
class Cost:
    """Seconds."""

    total: float
    imports: float
    cpu: float
    training: float = 0.0


def dvc(clone: Path, *targets: str, times: Path | None = None) -> float:
    """The seconds of `dvc repro`. Each Python process appends a line to `times`."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    probe = {"PYTHONPATH": str(Path(__file__).parent / "startup"), "STARTUP_TIMES": str(times)} if times else {}
    started = time.perf_counter()
    command = ["dvc", "repro", *targets]
    subprocess.run(command, cwd=clone, env={**os.environ, "PATH": path, **probe}, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def stages(times: Path, training: float) -> dict[str, Cost]:
    """The stages among the recorded processes."""
    found = {}
    for line in map(json.loads, times.read_text().splitlines()):
        if (stage := line["command"][0]) in STAGES:
            spent = training if stage == "train" else 0.0
            found[stage] = Cost(line["seconds"], line["imports"], line["cpu"], spent)
    return found


def trained(artifacts: Path) -> float:
    """Seconds in training loops: of the shipped model and of all variants."""
    return sum({curve: row["seconds"] for curve, row in read_history(artifacts)}.values())


def measure(clone: Path, project: str) -> dict[str, Cost]:
    """Each stage from clean; `all` is the total."""
    times = clone.parent / f"{project}.jsonl"
    seconds = dvc(clone, f"register@{project}", f"report@{project}", times=times)
    found = stages(times, trained(clone / "artifacts" / project))
    total = Cost(
        seconds,
        sum(cost.imports for cost in found.values()),
        sum(cost.cpu for cost in found.values()),
        sum(cost.training for cost in found.values()),
    )
    return {**found, "all": total}


def tables(clean: Mapping[str, Mapping[str, Cost]], idle: float | None) -> str:
    """Markdown: fixed cost and training, then the stages."""
    lines = [
        "| dvc repro, sample profile | seconds | imports | training | the rest | budget |",
        f"| ---{' | ---' * 5} |",
    ]
    for name, costs in clean.items():
        one = costs["all"]
        rest = one.total - one.imports - one.training
        lines.append(
            f"| {name}, from clean | {one.total:.1f} | {one.imports:.1f} | {one.training:.1f} | {rest:.1f} "
            f"| {BUDGETS.get(name, PROJECT):.0f} |"
        )
    if idle is not None:
        whole = sum(costs["all"].total for costs in clean.values())
        lines.append(f"| all of them, from clean | {whole:.1f} | | | | {BUDGETS['all']:.0f} |")
        lines.append(f"| nothing to do | {idle:.1f} | | | | {BUDGETS['nothing to do']:.0f} |")
    lines += [
        "",
        f"| seconds (of which imports) | {' | '.join(STAGES)} | DVC |",
        f"| ---{' | ---' * (len(STAGES) + 1)} |",
    ]
    for name, costs in clean.items():
        cells = [f"{costs[stage].total:.1f} ({costs[stage].imports:.1f})" if stage in costs else "" for stage in STAGES]
        own = costs["all"].total - sum(costs[stage].total for stage in STAGES if stage in costs)
        lines.append(f"| {name} | {' | '.join(cells)} | {own:.1f} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--project", nargs="+", choices=PROJECTS, default=PROJECTS, metavar="NAME")
    parser.add_argument("--json", type=Path, metavar="FILE", help="the figures go there too")
    args = parser.parse_args()
    # The fork server outlives dvc by a moment, and may still write there.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        clone = Path(scratch) / "clone"
        subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True)
        clean = {name: measure(clone, name) for name in args.project}
        idle = min(dvc(clone) for _ in range(3)) if args.project == PROJECTS else None
    print(machine.line())
    print(tables(clean, idle))
    if args.json:
        costs = {name: {stage: asdict(cost) for stage, cost in each.items()} for name, each in clean.items()}
        figures = {"machine": machine.line(), "clean": costs, "nothing_to_do": idle, "budgets": BUDGETS}
        args.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
