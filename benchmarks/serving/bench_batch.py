"""Batch scoring against two loops over the same rows: one HTTP request each, and one predictor.predict each.

    python -m benchmarks.serving.bench_batch [--project titanic] [--rows 50000] [--rounds 3]

The rows are the bundle's examples, repeated, as a CSV; the loops parse its text too, process every tenth row, and
discard the outputs; HTTP uses keep-alive. The batch job's time includes loading the model, writing its outputs and
syncing them to disk. All run in turn in each round: rows per second are medians, ratios medians over the rounds.
"""

import argparse
import contextlib
import csv
import io
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from http.client import HTTPConnection
from itertools import islice
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import BaseModel

from benchmarks import machine
from roadmap.bundle import Bundle, load_predictor
from serving.batch.__main__ import main as score
from serving.batch.requests import Requests
from serving.runtime.cells import Columns, csv_from_rows

BUNDLES = Path("artifacts")
PROJECTS = {"titanic": 50_000, "mnist": 20_000, "imdb": 5_000}
SHARE = 10  # the loops process one row in so many


def batch(project: str, source: Path) -> Callable[[], int]:
    def run() -> int:
        output = source.with_suffix(".scored.csv")
        given = [f"project={project}", f"input={source}", f"output={output}", f"bundles={BUNDLES}", "overwrite=true"]
        with contextlib.redirect_stdout(io.StringIO()):
            assert score(given) == 0
        with output.open(newline="") as file:
            return sum(1 for _ in csv.reader(file)) - 1

    return run


def rows(project: str, source: Path) -> list[BaseModel]:
    """The requests of the first rows."""
    request = load_predictor(Bundle(BUNDLES / project / "bundle")).Request
    requests = Requests(request, Columns(request), "csv")
    with source.open(newline="") as file:
        return [requests.parse(row) for row in islice(csv.DictReader(file), 0, None, SHARE)]


def one_by_one(project: str, source: Path) -> Callable[[], int]:
    predictor = load_predictor(Bundle(BUNDLES / project / "bundle"))

    def run() -> int:
        return len([predictor.predict([request])[0].model_dump() for request in rows(project, source)])

    return run


def over_http(project: str, source: Path, address: str) -> Callable[[], int]:
    def run() -> int:
        connection = HTTPConnection(urlsplit(address).netloc)
        done = 0
        for request in rows(project, source):
            body = json.dumps({"inputs": [request.model_dump(mode="json", by_alias=True, exclude_unset=True)]})
            connection.request("POST", f"/models/{project}/predict", body, {"content-type": "application/json"})
            answer = connection.getresponse()
            done += len(json.loads(answer.read())["outputs"])
        return done

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--project", choices=PROJECTS, action="append")
    parser.add_argument("--rows", type=int)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    command = [sys.executable, "-m", "serving", "--port", "0", "--bundles", str(BUNDLES)]
    server = subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert server.stdout
    address = next(line.split()[1] for line in server.stdout if line.startswith("page "))
    print(f"{machine.line()}; median of {args.rounds} rounds")
    print("| project | rows | how | rows per second | batch is |\n| --- | --- | --- | --- | --- |")
    try:
        with tempfile.TemporaryDirectory() as folder:
            for project in args.project or PROJECTS:
                measure(project, args.rows or PROJECTS[project], args.rounds, Path(folder), address)
    finally:
        server.terminate()
        server.wait()


def measure(project: str, count: int, rounds: int, folder: Path, address: str) -> None:
    source = folder / f"{project}.csv"
    example = Bundle(BUNDLES / project / "bundle").example
    source.write_text(csv_from_rows([example[i % len(example)] for i in range(count)], header=True), newline="")
    contenders = {
        "serving.batch": batch(project, source),
        "predictor.predict, one by one": one_by_one(project, source),
        "HTTP, one by one": over_http(project, source, address),
    }
    rates: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, run in contenders.items():
            started = time.perf_counter()
            done = run()
            rates[name].append(done / (time.perf_counter() - started))
            assert done == (count if name == "serving.batch" else -(-count // SHARE)), "rows are missing"
    for name, found in rates.items():
        ratio = statistics.median(own / other for own, other in zip(rates["serving.batch"], found, strict=True))
        print(f"| {project} | {count:,} | {name} | {statistics.median(found):,.0f} | {ratio:.1f}x |")


if __name__ == "__main__":
    main()
