"""Continuous batching against one thread per stream, and against static batches.

    python -m benchmarks.serving.bench_streams [--bundle artifacts/mini_gpt/bundle] [--requests 6] [--rounds 3]

Clients that send requests one after the other, 20 to 200 tokens long, in this process, without HTTP. Bundle, requests
and code are the same in all three; only the batching differs.
"""

import argparse
import asyncio
import statistics
import time
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from pydantic import BaseModel

from benchmarks import machine
from roadmap.bundle import Bundle, Streams, load_predictor
from serving.runtime.generation import GenerationLoop

PROMPTS = ("The ", "If the object ", "A function ", "Note that ", "Changed in version ")


class StreamingPredictor(Streams, Protocol):
    """A predictor with its class of requests."""

    Request: type[BaseModel]


class Static(GenerationLoop):
    """Takes all waiting requests, and no others until these are finished."""

    def _admit(self, batch: Any) -> bool:
        return bool(self.running) or super()._admit(batch)


class Single:
    """A predictor without batching."""

    def __init__(self, predictor: Streams) -> None:
        self.stream = predictor.stream


def loops(kind: str, predictor: Streams, clients: int) -> list[GenerationLoop]:
    if kind == "alone, a thread each":
        return [GenerationLoop(Single(predictor), 1024) for _ in range(clients)]
    return [Static(predictor, 1024) if kind == "static batches" else GenerationLoop(predictor, 1024)] * clients


async def measured(kind: str, predictor: StreamingPredictor, clients: int, count: int) -> tuple[float, list[float]]:
    """Tokens per second of all clients together, and the seconds to the first piece of each request."""
    firsts: list[float] = []
    tokens = 0

    async def client(number: int, loop: GenerationLoop) -> None:
        nonlocal tokens
        rng = np.random.default_rng(number)
        for _ in range(count):
            request = predictor.Request(
                prompt=str(rng.choice(PROMPTS)), max_tokens=int(rng.integers(20, 201)), seed=number
            )
            started, piece = time.perf_counter(), None
            async for _, piece in loop.stream([request]):
                if isinstance(piece, str) and started:
                    firsts.append(time.perf_counter() - started)
                    started = 0.0
            tokens += piece.usage.completion_tokens  # type: ignore[union-attr]

    begin = time.perf_counter()
    await asyncio.gather(*map(client, range(clients), loops(kind, predictor, clients)))
    return tokens / (time.perf_counter() - begin), firsts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, default=Path("artifacts/mini_gpt/bundle"))
    parser.add_argument("--requests", type=int, default=6, help="of each client")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    predictor = load_predictor(Bundle(args.bundle))
    assert isinstance(predictor, Streams)
    kinds = ("continuous batching", "static batches", "alone, a thread each")
    print(f"{machine.line()}; median of {args.rounds} rounds in turn, {args.requests} requests per client")
    print("| streams | decoding | tokens per second | first piece, ms | worst |\n| --- | --- | --- | --- | --- |")
    for clients in (1, 4, 16):
        found: dict[str, list[tuple[float, list[float]]]] = {kind: [] for kind in kinds}
        for _ in range(args.rounds):
            for kind in kinds:
                found[kind].append(asyncio.run(measured(kind, predictor, clients, args.requests)))
        for kind, rounds in found.items():
            rate = statistics.median(rate for rate, _ in rounds)
            middle, worst = (
                1e3 * statistics.median(say(firsts) for _, firsts in rounds) for say in (statistics.median, max)
            )
            print(f"| {clients} | {kind} | {rate:,.0f} | {middle:.1f} | {worst:.0f} |")


if __name__ == "__main__":
    main()
