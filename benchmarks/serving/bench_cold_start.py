"""How soon the server responds, and its memory.

    python -m benchmarks.serving.bench_cold_start [--rounds 7]

Seconds from the start of `python -m serving` with only mnist to the first right response over HTTP; the memory of a
server after requests to every bundle of artifacts/; and the ten slowest imports.
"""

import argparse
import json
import re
import statistics
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

from benchmarks import machine
from benchmarks.process import free_port, running
from benchmarks.serving.bench_serving import Question, post
from benchmarks.serving.contenders import BUNDLES
from roadmap.bundle import Bundle
from roadmap.io.json import JsonObject

GOAL_SECONDS, GOAL_MB = 0.8, 600


def serve(folder: Path, port: int, *python: str) -> list[str]:
    return [sys.executable, *python, "-m", "serving", "--port", str(port), "--bundles", str(folder)]


def only(project: str, folder: Path) -> Path:
    """A folder with only this bundle."""
    (folder / project).symlink_to((BUNDLES / project).resolve())
    return folder


def answers(port: int, project: str, inputs: list[JsonObject]) -> bytes | None:
    """The response; None before there is one."""
    try:
        return post(f"http://127.0.0.1:{port}/models/{project}/predict", json.dumps({"inputs": inputs}).encode())
    except OSError:
        return None


def cold_start(folder: Path, question: Question) -> float:
    """Seconds to the first response.

    Raises:
        NotReady: there is none.
        SystemExit: it is wrong.
    """
    port = free_port()
    start = time.perf_counter()
    with running(serve(folder, port), {}) as process:
        process.wait(lambda: answers(port, question.project, question.inputs[:1]), pause=0.005)
        spent = time.perf_counter() - start
        if not question.right(0, answers(port, question.project, question.inputs[:1]) or b"null"):
            raise SystemExit(f"{question.project}: wrong output")
    return spent


def memory(projects: list[str]) -> tuple[float, float]:
    """PSS and RSS in MB of the server and its children, after each project's example."""
    port = free_port()
    with running(serve(BUNDLES, port), {}) as process:
        for project in projects:
            process.wait(partial(answers, port, project, Bundle(BUNDLES / project / "bundle").example))
        used = [one.memory_full_info() for one in process.family()]
    return sum(one.pss for one in used) / 1e6, sum(one.rss for one in used) / 1e6


def imports(folder: Path) -> list[tuple[float, float, str]]:
    """(own ms, cumulative ms, name) of the ten slowest, from -X importtime."""
    port = free_port()
    with running(serve(folder, port, "-X", "importtime"), {}) as process:
        process.wait(lambda: answers(port, "mnist", Bundle(folder / "mnist" / "bundle").example))
        log = process.output()
    rows = re.findall(r"import time:\s*(\d+) \|\s*(\d+) \|\s*(\S+)", log)
    return sorted(((int(own) / 1e3, int(total) / 1e3, name) for own, total, name in rows), reverse=True)[:10]


def main() -> int:
    options = argparse.ArgumentParser("python -m benchmarks.serving.bench_cold_start")
    options.add_argument("--rounds", type=int, default=7)
    rounds = options.parse_args().rounds
    with tempfile.TemporaryDirectory() as scratch:
        folder, question = only("mnist", Path(scratch)), Question("mnist")
        cold_start(folder, question)  # warms the page cache, .pyc files are written
        spent = [cold_start(folder, question) for _ in range(rounds)]
        dearest = imports(folder)
    projects = sorted(path.parts[-3] for path in BUNDLES.glob("*/bundle/bundle.json"))
    pss, rss = memory(projects)
    print("| | measured | goal |\n| --- | --- | --- |")
    print(f"| start to first response, mnist | {statistics.median(spent):.2f} s | {GOAL_SECONDS} s |")
    print(f"| the slowest of {rounds} | {max(spent):.2f} s | |")
    print(f"| memory with {len(projects)} projects, RSS | {rss:.0f} MB | {GOAL_MB} MB |")
    print(f"| the same, PSS: less where other processes share its libraries | {pss:.0f} MB | |\n")
    print("| import | ms of its own | ms with what it imports |\n| --- | --- | --- |")
    for own, total, name in dearest:
        print(f"| {name} | {own:.0f} | {total:.0f} |")
    print(f"\n{machine.line()}")
    return int(statistics.median(spent) > GOAL_SECONDS or rss > GOAL_MB)


if __name__ == "__main__":
    sys.exit(main())
