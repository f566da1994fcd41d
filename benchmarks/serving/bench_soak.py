"""Mixed load on this server for minutes: no errors, and flat memory.

    python -m benchmarks.serving.bench_soak [--minutes 5] [--concurrency 64]

Requests to every project of artifacts/ at once, each with its share of the connections. Memory is sampled each second;
exit code 1 after an error, or if memory grows by more than 2% and 5 MB in the second half.
"""

import argparse
import json
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np

from benchmarks import machine
from benchmarks.process import Process, free_port, running
from benchmarks.serving import load
from benchmarks.serving.bench_cold_start import answers, serve
from benchmarks.serving.contenders import BUNDLES
from roadmap.bundle import Bundle

GROWTH_SHARE, GROWTH_MB = 0.02, 5.0
WINDOW = 30  # samples in a median


class Memory(threading.Thread):
    """RSS in MB of the server and its children, each second."""

    def __init__(self, process: Process) -> None:
        super().__init__(daemon=True)
        self.process, self.over = process, threading.Event()
        self.samples: list[float] = []

    def run(self) -> None:
        while not self.over.wait(1.0):
            self.samples.append(sum(one.memory_info().rss for one in self.process.family()) / 1e6)

    def slope(self, samples: list[float]) -> float:
        """MB per minute, by linear regression over the samples."""
        return float(np.polyfit(np.arange(len(samples)) / 60, samples, 1)[0]) if len(samples) > 1 else 0.0

    def growth(self) -> tuple[float, float]:
        """Beginning and end of the second half of the samples, each a median."""
        half = self.samples[len(self.samples) // 2 :]
        window = min(WINDOW, max(1, len(half) // 3))
        return float(np.median(half[:window])), float(np.median(half[-window:]))


def main() -> int:
    options = argparse.ArgumentParser("python -m benchmarks.serving.bench_soak")
    options.add_argument("--minutes", type=float, default=5.0)
    options.add_argument("--concurrency", type=int, default=64)
    chosen = options.parse_args()
    projects = sorted(path.parts[-3] for path in BUNDLES.glob("*/bundle/bundle.json"))
    share, port = max(1, chosen.concurrency // len(projects)), free_port()
    examples = {project: Bundle(BUNDLES / project / "bundle").example for project in projects}
    with running(serve(BUNDLES, port), {}) as process:
        for project in projects:
            process.wait(partial(answers, port, project, examples[project]))

        def ask(project: str) -> load.Figures:
            bodies = [json.dumps({"inputs": [one]}).encode() for one in examples[project]]
            return load.whole(f"http://127.0.0.1:{port}/models/{project}/predict", bodies, share, chosen.minutes * 60)

        memory = Memory(process)
        memory.start()
        start = time.perf_counter()
        with ThreadPoolExecutor(len(projects)) as pool:
            found = dict(zip(projects, pool.map(ask, projects), strict=True))
        elapsed = time.perf_counter() - start
        memory.over.set()
        memory.join()
    return report(found, memory, elapsed, share)


def report(found: dict[str, load.Figures], memory: Memory, elapsed: float, share: int) -> int:
    print("| project | requests | errors | p50 ms | p99 ms |\n| --- | --- | --- | --- | --- |")
    for project, figures in found.items():
        requests = f"{figures.rate * elapsed:,.0f}"
        print(f"| {project} | {requests} | {figures.errors} | {figures.p50:.1f} | {figures.p99:.1f} |")
    total, errors = sum(one.rate for one in found.values()) * elapsed, sum(one.errors for one in found.values())
    first, last = memory.slope(memory.samples[:60]), memory.slope(memory.samples[-60:])
    before, after = memory.growth()
    bound = max(GROWTH_MB, before * GROWTH_SHARE)
    print(f"\n{total:,.0f} requests in {elapsed:.0f} s from {share} connections per project, {errors} errors")
    print(
        f"memory: {first:+.1f} MB per minute in the first minute, {last:+.1f} in the last; in the second half from "
        f"{before:.0f} to {after:.0f} MB (at most {bound:.0f} MB more are allowed)"
    )
    print(machine.line())
    return int(errors > 0 or after - before > bound)


if __name__ == "__main__":
    sys.exit(main())
