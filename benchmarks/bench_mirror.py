"""What the prediction log and the mirror cost: the same server and load, plain, with the log, and with both.

    python -m benchmarks.bench_mirror [--project titanic] [--concurrency 16] [--seconds 4] [--rounds 5]

The challenger is the same model with another version, and sees every request. The three take turns round by round; what
is printed are medians, and the medians of each round's ratio to the plain server. 1 connection is a server that has
time to spare; more keep it at its limit, where the mirror takes a share of the cores and drops what it has no room for.
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
from pathlib import Path

from benchmarks import machine
from benchmarks.bench_cold_start import answers, only, serve
from benchmarks.serving import load
from benchmarks.serving.contenders import BUNDLES
from benchmarks.serving.load import Figures
from benchmarks.serving.process import free_port, running
from roadmap.bundle import Bundle, seal

PROJECTS = ("titanic", "mnist")
PLAIN, LOG, MIRROR = WAYS = ("plain", "prediction log", "log and mirror")


def challenger(project: str, folder: Path) -> None:
    """The same model under another version."""
    there = folder / project / "challenger"
    shutil.copytree(BUNDLES / project / "bundle", there)
    lineage = Bundle(there).manifest.model_dump(exclude={"files"})
    (there / "note.json").write_text('"the challenger"')
    seal(there, **lineage)


def options(way: str, folder: Path, scratch: Path) -> list[str]:
    log = ["--predictions", str(scratch / "log")] if way != PLAIN else []
    return [*log, *(["--challengers", str(folder), "--shadow", "1"] if way == MIRROR else [])]


def measure(project: str, way: str, concurrency: list[int], seconds: float) -> tuple[dict[int, Figures], str]:
    """The figures by concurrency, and what /metrics says of the copies."""
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        (scratch / "bundles").mkdir()
        (scratch / "challengers").mkdir()
        folder = only(project, scratch / "bundles")
        challenger(project, scratch / "challengers")
        port, example = free_port(), Bundle(BUNDLES / project / "bundle").example
        bodies = [json.dumps({"inputs": [one]}).encode() for one in example]
        url = f"http://127.0.0.1:{port}/models/{project}/predict"
        with running([*serve(folder, port), *options(way, scratch / "challengers", scratch)], {}) as process:
            process.wait(lambda: answers(port, project, example))
            load.whole(url, bodies, max(concurrency), 1)  # warm-up
            found = {}
            for connections in concurrency:
                before, used, began = copies(port), process.cpu_seconds(), time.perf_counter()
                figures = load.whole(url, bodies, connections, seconds)
                requests = figures.rate * (time.perf_counter() - began)
                figures.cpu = 1e3 * (process.cpu_seconds() - used) / requests
                found[connections], after = figures, copies(port)
                done, dropped = (new - old for new, old in zip(after, before, strict=True))
            said = f"at {connections}: {done:,.0f} copies answered, {dropped:,.0f} dropped" if way == MIRROR else ""
    return found, said


def copies(port: int) -> tuple[float, float]:
    """Answered and dropped so far."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        page = answer.read().decode()
    patterns = (r'serving_arm_requests_total{.*role="shadow".*} (\S+)', r"serving_mirror_dropped_total{.*} (\S+)")
    answered, dropped = (sum(map(float, re.findall(pattern, page))) for pattern in patterns)
    return answered, dropped


COLUMNS = {"rate": "requests/s", "p50": "p50 ms", "p99": "p99 ms", "cpu": "CPU ms each"}


def table(project: str, rounds: list[dict[str, dict[int, Figures]]], concurrency: list[int]) -> str:
    """Each figure with its ratio to the plain server's."""
    heads = [f"{one} at {connections}" for connections in concurrency for one in COLUMNS.values()]
    lines = [f"| {project} | {' | '.join(heads)} |", "| --- |" + " --- |" * len(heads)]
    for way in WAYS:
        cells = []
        for n in concurrency:
            for name in COLUMNS:
                found = [getattr(one[way][n], name) for one in rounds]
                ratio = statistics.median(getattr(one[way][n], name) / getattr(one[PLAIN][n], name) for one in rounds)
                value = statistics.median(found)
                cells.append(f"{value:,.0f} ({ratio:.2f}x)" if name == "rate" else f"{value:.2f} ({ratio:.2f}x)")
        lines.append(f"| {way} | {' | '.join(cells)} |")
    errors = sum(figures.errors for one in rounds for row in one.values() for figures in row.values())
    return "\n".join([*lines, f"{errors} errors"])


def main() -> int:
    parser = argparse.ArgumentParser("python -m benchmarks.bench_mirror")
    parser.add_argument("--project", action="append", choices=PROJECTS)
    parser.add_argument("--concurrency", action="append", type=int)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    concurrency = chosen.concurrency or [1, 16]
    for project in chosen.project or PROJECTS:
        rounds, said = [], ""
        for number in range(chosen.rounds):
            found = {}
            for way in WAYS:
                found[way], said = measure(project, way, concurrency, chosen.seconds)
            rounds.append(found)
            print(f"{project}, round {number + 1}: {found}; {said}", file=sys.stderr, flush=True)
        print(f"{table(project, rounds, concurrency)}\n{said}\n", flush=True)
    print(f"in brackets: to the plain server, the median of the rounds; {machine.line()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
