"""Continuous batching: requests join and leave between two steps without affecting the others."""

import asyncio
import gc
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from roadmap.inference.language import decoding
from roadmap.inference.language.generation import Generator
from serving.runtime.batching import QueueFull, Scheduler
from serving.runtime.generation import GenerationLoop
from serving.runtime.models import Model
from tests.support import waiting
from tests.support.letters import BLOCK, LETTERS, ask


def requests(writer: Generator, count: int) -> list[Any]:
    rng = np.random.default_rng(1)
    return [
        writer.Request(
            prompt="".join(rng.choice(list(LETTERS), rng.integers(1, 3 * BLOCK))),
            max_tokens=int(rng.integers(0, 60)),
            temperature=float(number % 3),
            seed=number,
            echo=number % 4 == 0,
            logprobs=number % 8 == 0,
        )
        for number in range(count)
    ]


def text(answer: Any) -> dict[str, Any]:
    return answer.model_dump(exclude={"logprobs"})


@pytest.mark.parametrize("chunk", [512, 8])
def test_joining_a_batch_does_not_change_the_text(
    writer: Generator, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "CHUNK", chunk)
    prompts = requests(writer, 30)
    rng, batch, waiting = np.random.default_rng(2), writer.batch(), list(prompts)
    answers: dict[Any, Any] = {}
    pieces: dict[Any, list[str]] = {}
    while waiting or len(batch):
        for _ in range(rng.integers(0, 4)):
            if waiting:
                batch.add(waiting.pop(0))
        for key, piece in batch.step():
            if isinstance(piece, str):
                pieces.setdefault(key, []).append(piece)
            else:
                answers[key] = piece
    by_request = {id(key.request): key for key in answers}
    for request in prompts:
        key = by_request[id(request)]
        assert text(answers[key]) == text(writer.predict([request])[0])
        assert "".join(pieces.get(key, [])) == answers[key].text


def test_a_long_prompt_is_prefilled_in_chunks(writer: Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "CHUNK", 4)
    batch = writer.batch()
    first = batch.add(writer.Request(prompt="abc", max_tokens=100, seed=1))
    batch.step()
    second = batch.add(writer.Request(prompt=(LETTERS * 2)[:BLOCK], max_tokens=5, seed=2))
    steps = []
    while not second.tokens:
        before = len(first.tokens)
        batch.step()
        steps.append(len(first.tokens) - before)
    assert steps == [1] * (BLOCK // 4)


def test_a_dropped_request_is_not_decoded(writer: Generator) -> None:
    batch = writer.batch()
    keys = [batch.add(writer.Request(prompt=prompt, max_tokens=100, seed=1)) for prompt in ("a", "bcd", "ef")]
    batch.step()
    batch.drop(keys[1])
    late = batch.add(writer.Request(prompt="j", max_tokens=100))
    batch.drop(late)
    for _ in range(5):
        batch.step()
    assert [len(key.tokens) for key in keys] == [6, 1, 6] and not late.tokens and len(batch) == 2


def test_a_failing_generation_fails_alone(writer: Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = writer.batch()
    good, bad = (batch.add(writer.Request(prompt="abc", max_tokens=20, seed=1)) for _ in range(2))
    monkeypatch.setattr(bad, "take", bad.take)
    monkeypatch.setattr(bad, "how", None)  # the next draw raises
    ended: dict[Any, Any] = {}
    while len(batch):
        ended |= {key: piece for key, piece in batch.step() if not isinstance(piece, str)}
    assert isinstance(ended[bad], AttributeError)
    alone = ask(writer, {"prompt": "abc", "max_tokens": 20, "seed": 1})[0]
    assert ended[good] == alone


# ---------------------------------------------------------------- the loop


class Slow:
    """A predictor whose steps wait until the test lets them."""

    def __init__(self, writer: Generator) -> None:
        self.writer, self.gate, self.steps = writer, threading.Semaphore(0), 0
        self.fail = False

    def stream(self, request: Any) -> Iterator[Any]:
        raise AssertionError("generation is batched")

    def batch(self) -> Any:
        batch: Any = self.writer.batch()
        step = batch.step

        def slow() -> Any:
            self.gate.acquire()
            self.steps += 1
            if self.fail:
                raise RuntimeError("out of memory")
            return step()

        batch.step = slow
        return batch


@pytest.fixture
def slow(writer: Generator) -> Iterator[Slow]:
    slow = Slow(writer)
    yield slow
    slow.gate.release(10_000)


async def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end, "waited for 10 s"
        await asyncio.sleep(0.005)


def test_clients_arriving_at_different_times_get_their_own_text(writer: Generator) -> None:
    prompts = requests(writer, 40)  # more than a batch holds

    async def one(loop: GenerationLoop, number: int) -> Any:
        await asyncio.sleep(number * 1e-3)
        if number % 2:
            return (await loop.complete([prompts[number]]))[0]
        streamed: list[Any] = [piece async for piece in loop.stream([prompts[number]])]
        *pieces, (_, answer) = streamed
        assert "".join(piece for _, piece in pieces) == answer.text
        return answer

    async def all_of_them() -> list[Any]:
        loop = GenerationLoop(writer, 1024)
        answers = await asyncio.gather(*(one(loop, number) for number in range(len(prompts))))
        await until(lambda: loop.thread is None)
        return answers

    for request, answer in zip(prompts, asyncio.run(all_of_them()), strict=True):
        assert text(answer) == text(writer.predict([request])[0])


def test_a_new_request_joins_the_running_batch(writer: Generator, slow: Slow) -> None:
    async def go() -> None:
        loop = GenerationLoop(slow, 10)
        request = writer.Request(prompt="abc", max_tokens=50, seed=1)
        first = asyncio.ensure_future(loop.complete([request]))
        slow.gate.release(5)
        await until(lambda: slow.steps == 5)
        second = asyncio.ensure_future(loop.complete([request]))
        await until(lambda: len(loop.waiting) == 1 or len(loop.running) == 2)
        slow.gate.release(51)  # the sixth step may have started; then 50 for the second
        answers = await asyncio.wait_for(asyncio.gather(first, second), 30)
        assert answers[0] == answers[1], "the same seed gives the same text"

    asyncio.run(go())


def test_a_disconnected_client_leaves_at_the_next_step(writer: Generator, slow: Slow) -> None:
    async def go() -> None:
        loop = GenerationLoop(slow, 10)
        stream = loop.stream([writer.Request(prompt="abc", max_tokens=1000, seed=1)])
        task = asyncio.ensure_future(loop.complete([writer.Request(prompt="abc", max_tokens=1000)] * 3))
        slow.gate.release(3)
        await anext(stream)
        await until(lambda: len(loop.running) == 4)
        await stream.aclose()
        slow.gate.release(1)
        await until(lambda: len(loop.running) == 3)
        task.cancel()
        slow.gate.release(2)
        await until(lambda: loop.thread is None)
        assert not loop.running and not loop.waiting and slow.steps <= 6

    asyncio.run(go())


def test_a_full_generation_queue_rejects_requests(writer: Generator, slow: Slow) -> None:
    async def go() -> None:
        loop = GenerationLoop(slow, 3)
        request = writer.Request(prompt="abc", max_tokens=2)
        tasks = [asyncio.ensure_future(loop.complete([request] * 32))]
        await until(lambda: len(loop.running) == 32)
        tasks += [asyncio.ensure_future(loop.complete([request])) for _ in range(3)]
        await until(lambda: len(loop.waiting) == 3)
        with pytest.raises(QueueFull, match="3 inputs are queued"):
            await loop.complete([request])
        slow.gate.release(100)
        assert [len(answers) for answers in await asyncio.gather(*tasks)] == [32, 1, 1, 1]

    asyncio.run(go())


def test_a_timeout_stops_the_decoding(writer: Generator, slow: Slow) -> None:
    async def go() -> None:
        loop = GenerationLoop(slow, 3)
        with pytest.raises(TimeoutError):
            async for _ in loop.stream([writer.Request(prompt="abc", max_tokens=50)], 0.05):
                pass
        slow.gate.release(2)
        await until(lambda: loop.thread is None)

    asyncio.run(go())


def test_a_failing_step_is_reported_and_the_next_request_served(writer: Generator, slow: Slow) -> None:
    async def go() -> None:
        loop = GenerationLoop(slow, 10)
        request = writer.Request(prompt="abc", max_tokens=5, seed=3)
        slow.gate.release(100)
        slow.fail = True
        with pytest.raises(RuntimeError, match="out of memory"):
            await loop.complete([request])
        slow.fail = False
        assert await loop.complete([request]) == writer.predict([request])

    asyncio.run(go())


def test_a_predictor_without_batching_generates_sequentially(writer: Generator) -> None:
    class Single:
        def stream(self, request: Any) -> Iterator[Any]:
            return writer.stream(request)

    prompts = requests(writer, 5)

    async def go() -> list[Any]:
        loop = GenerationLoop(Single(), 10)
        closed = loop.stream([writer.Request(prompt="abc", max_tokens=1000)])
        await anext(closed)
        await closed.aclose()
        return await loop.complete(prompts)

    assert list(map(text, asyncio.run(go()))) == list(map(text, writer.predict(prompts)))


def test_an_unloaded_generator_is_freed(letters: Path) -> None:
    def use() -> Any:
        model = Model("mini_gpt", letters / "mini_gpt" / "bundle", Scheduler(1))
        assert len(asyncio.run(model.predict([model.request(prompt="abc", max_tokens=5)]))) == 1
        loop = model.loop
        assert loop is not None
        asyncio.run(until(lambda: loop.thread is None))
        return weakref.ref(model.predictor)

    seen = use()
    waiting.until(lambda: gc.collect() >= 0 and seen() is None)  # after the thread has ended
