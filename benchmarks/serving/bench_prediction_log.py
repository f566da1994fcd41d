"""What the prediction log and the mirror cost: the same server and load, plain, with the log, and with both.

    python -m benchmarks.serving.bench_prediction_log [--project titanic] [--concurrency 16] [--seconds 3] [--rounds 15]

All three servers run; those not being measured are stopped (SIGSTOP), with the log's writer, so that its remaining work
does not count for another server. They take turns cell by cell, in another order each round; the printed figures are
medians, and medians of each round's ratio to the plain server, which are more robust on a busy machine. The challenger
is the same model with another version, and gets every request. With 1 connection the server has spare time; more keep
it at its limit, where shadow requests take a share of the cores and are dropped if the queue is full.
"""

import argparse
import json
import re
import shutil
import statistics
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks import machine
from benchmarks.process import Process, free_port, running
from benchmarks.serving import load
from benchmarks.serving.bench_cold_start import answers, only, serve
from benchmarks.serving.contenders import BUNDLES
from benchmarks.serving.load import Figures
from roadmap.bundle import Bundle, write_manifest

PROJECTS = ("titanic", "mnist")
PLAIN, LOG, MIRROR = WAYS = ("plain", "prediction log", "log and mirror")
GOALS = {LOG: (1.15, 2.0), MIRROR: (None, 3.0)}  # of p50 and p99, to the plain server's
COUNTERS = {
    "rows written": r"serving_predictions_recorded_total{.*} (\S+)",
    "rows dropped": r"serving_predictions_dropped_total{.*} (\S+)",
    "copies answered": r'serving_arm_requests_total{.*role="shadow".*} (\S+)',
    "copies dropped": r"serving_mirror_dropped_total{.*} (\S+)",
}


def challenger(project: str, folder: Path) -> Path:
    """The same model under another version."""
    there = folder / project / "challenger"
    shutil.copytree(BUNDLES / project / "bundle", there)
    lineage = Bundle(there).manifest.model_dump(exclude={"files"})
    (there / "note.json").write_text('"the challenger"')
    write_manifest(there, **lineage)
    return folder


class Server:
    """One of the three servers. Stopped unless it is `at_work`."""

    def __init__(self, project: str, way: str, scratch: Path, stack: ExitStack) -> None:
        (folder := scratch / way).mkdir()
        self.project, self.port = project, free_port()
        options = ["--predictions-spool", str(folder / "spool"), "--predictions", str(folder / "log")]
        options += ["--challengers", str(challenger(project, folder / "challengers")), "--shadow", "1"]
        options = options[: {PLAIN: 0, LOG: 4, MIRROR: 8}[way]]
        (folder / "bundles").mkdir()
        command = [*serve(only(project, folder / "bundles"), self.port), *options]
        example = Bundle(BUNDLES / project / "bundle").example
        self.bodies = [json.dumps({"inputs": [one]}).encode() for one in example]
        self.process: Process = stack.enter_context(running(command, {}))
        self.process.wait(lambda: answers(self.port, project, example))
        stack.callback(self.resume)
        self.measure(16, 1)  # warm-up
        self.suspend()

    def suspend(self) -> None:
        for one in self.process.family():
            one.suspend()

    def resume(self) -> None:
        for one in self.process.family():
            one.resume()

    @contextmanager
    def at_work(self) -> Iterator[None]:
        self.resume()
        try:
            yield
        finally:
            self.suspend()

    def measure(self, connections: int, seconds: float) -> Figures:
        used, began = self.process.cpu_seconds(), time.perf_counter()
        figures = load.whole(
            f"http://127.0.0.1:{self.port}/models/{self.project}/predict", self.bodies, connections, seconds
        )
        requests = figures.rate * (time.perf_counter() - began)
        figures.cpu = 1e3 * (self.process.cpu_seconds() - used) / requests
        return figures

    def counted(self) -> str:
        """The counters of rows and shadow requests in /metrics.

        Raises:
            SystemExit: the log's writer has written no rows.
        """
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=10) as answer:
            page = answer.read().decode()
        found = {name: sum(map(float, re.findall(pattern, page))) for name, pattern in COUNTERS.items()}
        if not found["rows written"]:
            raise SystemExit(f"{self.project}: the log's writer has written no rows; use more seconds")
        return ", ".join(f"{count:,.0f} {name}" for name, count in found.items())


def measure(project: str, concurrency: list[int], seconds: float, rounds: int) -> tuple[str, str]:
    """The table, and what the servers counted."""
    cells: list[dict[tuple[str, int], Figures]] = []
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        servers = {way: Server(project, way, Path(name), stack) for way in WAYS}
        for number in range(rounds):
            cells.append({})
            for connections in concurrency:
                for turn in range(len(WAYS)):
                    way = WAYS[(turn + number) % len(WAYS)]
                    with servers[way].at_work():
                        cells[-1][way, connections] = servers[way].measure(connections, seconds)
            print(f"{project}, round {number + 1}: {cells[-1]}", file=sys.stderr, flush=True)
        counters = []
        for way in (LOG, MIRROR):
            with servers[way].at_work():
                counters.append(f"{way}: {servers[way].counted()}")
    return table(project, cells, concurrency), "\n".join(counters)


def table(project: str, cells: list[dict[tuple[str, int], Figures]], concurrency: list[int]) -> str:
    """Each figure with its ratio to the plain server's."""
    heads = [f"{name}, {n} connection{'s' * (n > 1)}" for n in concurrency for name in ("p50, p99 ms", "CPU ms each")]
    lines = [f"| {project} | {' | '.join(heads)} |", "| --- |" + " --- |" * len(heads)]
    for way in WAYS:
        row = []
        for n in concurrency:
            value = {name: statistics.median(getattr(one[way, n], name) for one in cells) for name in COLUMNS}
            times = {
                name: statistics.median(getattr(one[way, n], name) / getattr(one[PLAIN, n], name) for one in cells)
                for name in COLUMNS
            }
            plain = way == PLAIN
            both = "" if plain else f" ({times['p50']:.2f}x, {times['p99']:.2f}x)"
            row.append(f"{value['p50']:.2f}, {value['p99']:.2f}{both}")
            row.append(f"{value['cpu']:.2f}" + ("" if plain else f" ({times['cpu']:.2f}x)"))
        lines.append(f"| {way} | {' | '.join(row)} |")
    errors = sum(figures.errors for one in cells for figures in one.values())
    return "\n".join([*lines, "", f"{errors} errors"])


COLUMNS = ("p50", "p99", "cpu")


def main() -> int:
    parser = argparse.ArgumentParser("python -m benchmarks.serving.bench_prediction_log")
    parser.add_argument("--project", action="append", choices=PROJECTS)
    parser.add_argument("--concurrency", action="append", type=int)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rounds", type=int, default=15)
    chosen = parser.parse_args()
    for project in chosen.project or PROJECTS:
        found, counters = measure(project, chosen.concurrency or [1, 16], chosen.seconds, chosen.rounds)
        print(f"{found}\n{counters}\n", flush=True)
    print(f"in brackets: to plain, the median of {chosen.rounds} rounds of {chosen.seconds:g} s; {machine.line()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
