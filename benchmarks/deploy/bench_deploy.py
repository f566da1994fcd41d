"""Time from the command until all traffic has moved, on servers that implement AWS's protocols.

    python -m benchmarks.deploy.bench_deploy [runs]

The command runs as a process, its start included. bake=0: no observation time, and ECS's and SageMaker's baking takes
no time here either. So these are the command's own work, its polling (every 3 s of a stack), and the start of a server
on this machine. AWS's time for images, tasks and instances can't be measured here.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import machine
from infra.templates import templates
from tests.support.infra.deployments import Champions, champions, cloud

TARGETS = ("lambda", "ecs", "sagemaker")


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    with tempfile.TemporaryDirectory() as scratch:
        store = champions(Path(scratch))
        times = {
            target: [measured(target, store, Path(scratch) / f"{target}-{n}") for n in range(runs)]
            for target in TARGETS
        }
    print(f"{machine.line()}; medians of {runs}\n")
    print("| target | first deployment, s | the next version, s | rollback, s |\n| --- | --- | --- | --- |")
    for target, found in times.items():
        print(f"| {target} | {' | '.join(f'{statistics.median(one):.1f}' for one in zip(*found, strict=True))} |")


def measured(target: str, store: Champions, scratch: Path) -> tuple[float, ...]:
    """Seconds of a first deployment, of the next version's, and of a rollback."""
    with cloud(scratch, scale=0) as aws:
        if target == "ecs":
            aws.stacks().up(templates()["network"], "staging")
        store.promote(store.first)
        first = deploy(target, store)
        store.promote(store.second)
        return first, deploy(target, store), deploy(target, store, "rollback")


def deploy(target: str, store: Champions, *verb: str) -> float:
    words = [*verb, f"target={target}", "project=titanic", "stage=staging", "bake=0"]
    environment = {**os.environ, "MLFLOW_TRACKING_URI": store.uri}
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-m", "infra.deploy", *words], check=True, env=environment, stdout=sys.stderr)
    return time.perf_counter() - begun


if __name__ == "__main__":
    main()
