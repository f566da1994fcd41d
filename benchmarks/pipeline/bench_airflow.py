"""What Airflow costs over plain `dvc repro`: the roadmap from clean and with nothing to do, its memory, and parsing.

    python -m benchmarks.pipeline.bench_airflow [--dag titanic]

Run `make airflow` once before, for .venv-airflow. Uses two temporary clones of HEAD: one runs `dvc repro`, the other
the same stages through `infra/airflow/up.sh` and the REST API. Memory is that of Airflow's own processes, sampled every
second while the DAG runs; the proportional set size counts shared pages once.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil

from benchmarks import machine
from benchmarks.process import Process, free_port, running
from infra.airflow.trigger import Client, TriggerError

ROOT = Path(__file__).parents[2]
PARSE = """
import sys, time
import airflow.sdk, airflow.sdk.definitions.decorators, airflow.sdk.definitions.taskgroup
sys.path.insert(0, "dags")
started = time.perf_counter()
import roadmap
print(time.perf_counter() - started)
"""


def clone(scratch: Path, name: str) -> Path:
    folder = scratch / name
    subprocess.run(["git", "clone", "-q", str(ROOT), str(folder)], check=True)
    for environment in (".venv", ".venv-airflow"):
        (folder / environment).symlink_to(ROOT / environment)
    return folder


def repro(folder: Path, targets: list[str]) -> float:
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    started = time.perf_counter()
    subprocess.run(["dvc", "repro", *targets], cwd=folder, env=env, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


class Memory(threading.Thread):
    """Peak memory of Airflow's processes together, in MB, without the stages."""

    def __init__(self, process: Process) -> None:
        super().__init__(daemon=True)
        self.process, self.most, self.over = process, 0.0, threading.Event()

    def run(self) -> None:
        while not self.over.wait(1):
            self.most = max(self.most, self.now())

    def now(self) -> float:
        total = 0
        for one in self.process.family():
            try:
                if "airflow" in " ".join(one.cmdline()):
                    total += one.memory_full_info().pss
            except psutil.Error:  # it has ended
                continue
        return total / 2**20


def through_airflow(folder: Path, dag: str) -> tuple[float, list[float], float]:
    """Seconds until it is ready, seconds of each of three runs, and peak memory."""
    port = free_port()
    os.environ |= {"AIRFLOW_PORT": str(port), "AIRFLOW_HOME": str(folder / ".airflow")}
    started = time.perf_counter()
    with running([str(folder / "infra/airflow/up.sh")], {}) as process:

        def dags() -> bool:
            try:
                return bool(Client.here().ask(f"/api/v2/dags/{dag}"))
            except (TriggerError, KeyError):
                return False

        process.wait(dags, pause=0.5)
        ready = time.perf_counter() - started
        memory = Memory(process)
        memory.start()
        spent = []
        for _ in range(3):
            started = time.perf_counter()
            client = Client.here()
            run = client.trigger(dag)
            while (state := client.state(dag, run)) not in ("success", "failed"):
                time.sleep(0.5)
            if state == "failed":
                bad = [task["task_id"] for task in client.tasks(dag, run) if task["state"] == "failed"]
                sys.exit(f"error: {dag} failed: {', '.join(bad)}")
            spent.append(time.perf_counter() - started)
        memory.over.set()
        return ready, spent, memory.most


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dag", default="roadmap", help="roadmap, or one project")
    dag = parser.parse_args().dag
    targets = [] if dag == "roadmap" else [f"register@{dag}", f"report@{dag}"]
    with tempfile.TemporaryDirectory() as scratch:
        plain = clone(Path(scratch), "plain")
        clean, idle = repro(plain, targets), min(repro(plain, targets) for _ in range(3))
        folder = clone(Path(scratch), "checkout")  # not "airflow": Memory recognises Airflow's processes by that word
        ready, (first, *cached), memory = through_airflow(folder, dag)
        python = str(ROOT / ".venv-airflow/bin/python")
        parse = min(
            float(subprocess.run([python, "-c", PARSE], cwd=folder, capture_output=True, text=True, check=True).stdout)
            for _ in range(3)
        )
    print(f"{machine.line()}; {dag}, sample profile\n")
    print("| | dvc repro, s | Airflow, s | goal, s |\n| --- | --- | --- | --- |")
    print(f"| from clean | {clean:.0f} | {first:.0f} ({first / clean:.2f}x) | |")
    print(f"| nothing to do | {idle:.1f} | {min(cached):.0f} | 60 |")
    print(f"| `make airflow` until the DAGs are there, installed before | | {ready:.0f} | 60 |")
    print(f"| parsing dags/ | | {parse:.2f} | 1 |")
    print(f"\nAirflow's processes took at most {memory:.0f} MB together (goal 1,536).")


if __name__ == "__main__":
    main()
