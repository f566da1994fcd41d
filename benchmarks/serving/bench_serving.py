"""This server compared with LitServe, BentoML, Ray Serve, `mlflow models serve` and a plain FastAPI app with PyTorch.

    python -m benchmarks.serving.bench_serving [--project titanic] [--contender LitServe] [--concurrency 16]
        [--seconds 5]

`make peers` first. Same machine, bundle, request bytes and client, with keep-alive; a contender's responses are
compared with the Predictor's before and after the measurement. benchmarks/serving/README.md describes each
configuration.
"""

import argparse
import http.client
import json
import math
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

from benchmarks import machine
from benchmarks.process import NotReady, Process, free_port, running
from benchmarks.serving import load
from benchmarks.serving.contenders import BUNDLES, CONTENDERS, OURS, Contender
from benchmarks.serving.load import Figures
from roadmap.bundle import Bundle, load_predictor

PROJECTS = ("mnist", "titanic", "imdb", "mini_gpt")
TOKENS = 64  # per stream, greedy: the text is the same everywhere
Row = dict[int, Figures] | str  # by concurrency, or the reason for their absence


class Question:
    """A project's request, and its predictor's outputs."""

    def __init__(self, project: str) -> None:
        bundle = Bundle(BUNDLES / project / "bundle")
        predictor = load_predictor(bundle)
        self.project, self.inputs = project, bundle.example
        self.streams = hasattr(predictor, "stream")
        if self.streams:
            self.inputs = [{"prompt": bundle.example[0]["prompt"], "max_tokens": TOKENS, "temperature": 0.0}]
        requests = [predictor.Request.model_validate(one) for one in self.inputs]
        self.outputs = [answer.model_dump() for answer in predictor.predict(requests)]

    def bodies(self, contender: Contender) -> list[bytes]:
        if self.streams and contender.key == "inputs":
            return [json.dumps(one).encode() for one in self.inputs]
        return [json.dumps({contender.key: [one]}).encode() for one in self.inputs]

    def right(self, number: int, answer: bytes) -> bool:
        if self.streams:
            return load.text(answer) == self.outputs[number]["text"]
        content = json.loads(answer)
        given = content if isinstance(content, list) else content.get("outputs", content.get("predictions"))
        return same(given, [self.outputs[number]])


def same(given: object, expected: object) -> bool:
    """Equal up to the rounding of another kernel."""
    if isinstance(expected, dict):
        return isinstance(given, dict) and all(same(given.get(name), value) for name, value in expected.items())
    if isinstance(expected, list):
        return isinstance(given, list) and len(given) == len(expected) and all(map(same, given, expected))
    if isinstance(expected, float):
        return isinstance(given, int | float) and math.isclose(given, expected, rel_tol=1e-3, abs_tol=1e-4)
    return given == expected


def post(url: str, body: bytes) -> bytes:
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return answer.read()


def measure(contender: Contender, question: Question, concurrency: list[int], seconds: float) -> Row:
    """Figures by concurrency, each of `seconds` of load after a warm-up; the reason, if it can't be measured."""
    port, bodies = free_port(), question.bodies(contender)
    path = (contender.stream if question.streams else contender.predict).format(project=question.project)
    url = f"http://127.0.0.1:{port}{path}"

    def answers() -> bool:
        try:
            post(url, bodies[0])
        except urllib.error.HTTPError as error:
            if error.code in (404, 503):  # not yet
                return False
            raise NotReady(f"status {error.code}: {error.read(300).decode(errors='replace')}") from None
        except (OSError, http.client.HTTPException):
            return False
        return True

    def check() -> None:
        for number, body in enumerate(bodies):
            if not question.right(number, answer := post(url, body)):
                raise NotReady(f"unexpected response: {answer[:300].decode(errors='replace')}")

    def run(process: Process, connections: int, long: float) -> Figures:
        before, start = process.cpu_seconds(), time.perf_counter()
        if question.streams:
            expected = question.outputs[0]["text"]
            figures = load.Streams(port, path, bodies[0], long, expected).measure(connections)
        else:
            figures = load.whole(url, bodies, connections, long)
        done = figures.rate * (time.perf_counter() - start)
        figures.cpu = 1e3 * (process.cpu_seconds() - before) / done if done else float("nan")
        return figures

    environment = {
        "BUNDLE": str((BUNDLES / question.project / "bundle").resolve()),
        "PORT": str(port),
        "STREAM": str(int(question.streams)),
        "OMP_NUM_THREADS": "1",
        **dict(contender.environment),
    }
    with tempfile.TemporaryDirectory() as scratch:
        try:
            command = contender.command(question.project, port, Path(scratch))
            with running(command, environment) as process:
                process.wait(answers)
                check()
                run(process, max(concurrency), max(1, seconds / 3))  # warm-up
                found = {connections: run(process, connections, seconds) for connections in concurrency}
                check()
                return found
        except (NotReady, OSError) as error:
            return f"{type(error).__name__}: {error}" if isinstance(error, OSError) else str(error)


def table(question: Question, rows: dict[str, Row], concurrency: list[int]) -> str:
    """Markdown; a ratio is this server's rate over the best peer's."""
    what = ("requests/s", "p50 / p99 ms", "CPU ms each")
    if question.streams:
        what = ("tokens/s", "first token p50 / p99 ms", "CPU ms each")
    heads = [f"{one} at {connections}" for connections in concurrency for one in what]
    lines = [f"| {question.project} | {' | '.join(heads)} |", "| --- |" + " --- |" * len(heads)]
    for name, row in rows.items():
        if isinstance(row, str):
            reason = " ".join(row.split())
            lines.append(f"| {name} | not measured: {reason} |" + " |" * (len(heads) - 1))
            continue
        cells = [cell for figures in row.values() for cell in shown(figures)]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    ours = rows.get(OURS)
    peers = [row for name, row in rows.items() if name != OURS and isinstance(row, dict)]
    if isinstance(ours, dict) and peers:
        cells = [cell for connections in concurrency for cell in against(ours, peers, connections)]
        lines.append(f"| ours to the best peer | {' | '.join(cells)} |")
    return "\n".join(lines)


def shown(figures: Figures) -> tuple[str, str, str]:
    failed = f" ({figures.errors} errors)" if figures.errors else ""
    return f"{figures.rate:,.0f}{failed}", f"{figures.p50:.1f} / {figures.p99:.1f}", f"{figures.cpu:.2f}"


def against(ours: dict[int, Figures], peers: list[dict[int, Figures]], connections: int) -> tuple[str, str, str]:
    """Compared with the fastest peer. For the rate higher is better, otherwise lower."""
    best = max((row[connections] for row in peers), key=lambda one: one.rate)
    own = ours[connections]
    return (
        f"{own.rate / best.rate:.2f}x",
        f"{own.p50 / best.p50:.2f}x / {own.p99 / best.p99:.2f}x",
        f"{own.cpu / best.cpu:.2f}x",
    )


def main() -> int:
    options = argparse.ArgumentParser("python -m benchmarks.serving.bench_serving")
    options.add_argument("--project", action="append", choices=PROJECTS)
    options.add_argument("--contender", action="append", choices=[one.name for one in CONTENDERS])
    options.add_argument("--concurrency", action="append", type=int)
    options.add_argument("--seconds", type=float, default=5.0)
    chosen = options.parse_args()
    contenders = [one for one in CONTENDERS if one.name in (chosen.contender or [one.name])]
    concurrency = chosen.concurrency or [1, 16, 64]
    for project in chosen.project or PROJECTS:
        question = Question(project)
        rows: dict[str, Row] = {}
        for contender in contenders:
            rows[contender.name] = measure(contender, question, concurrency, chosen.seconds)
            print(f"{project}, {contender.name}: {rows[contender.name]}", file=sys.stderr, flush=True)
        print(table(question, rows, concurrency), end="\n\n", flush=True)
    print(f"{machine.line()}; {'; '.join(filter(None, (one.versions() for one in contenders)))}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
