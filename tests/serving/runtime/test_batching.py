"""Micro-batching: which inputs share a batch, which wait, and isolation between requests."""

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import pytest

from serving.runtime.batching import Queue, QueueFull, Scheduler


def run(main: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    return asyncio.run(asyncio.wait_for(main(), 20))


def unchanged(inputs: Sequence[int]) -> list[int]:
    return list(inputs)


class Doubler:
    """A model that doubles, records its batches, and holds the first until released."""

    def __init__(self, held: bool = False) -> None:
        self.batches: list[list[int]] = []
        self.gate = threading.Event()
        self.begun = threading.Event()
        if not held:
            self.gate.set()

    def __call__(self, inputs: Sequence[int]) -> list[int]:
        self.batches.append(list(inputs))
        self.begun.set()
        assert self.gate.wait(10)
        return [2 * one for one in inputs]


def test_waiting_inputs_form_one_batch() -> None:
    model, scheduler = Doubler(held=True), Scheduler(threads=2, max_batch=64)

    async def main() -> list[list[int]]:
        queue = Queue(model)
        first = scheduler.submit(queue, [1])
        await asyncio.to_thread(model.begun.wait, 5)
        rest = [scheduler.submit(queue, [n, -n]) for n in range(2, 12)]
        model.gate.set()
        return list(await asyncio.gather(first, *rest))

    assert run(main) == [[2], *([2 * n, -2 * n] for n in range(2, 12))]
    assert [len(batch) for batch in model.batches] == [1, 20]


def test_a_large_request_is_split_and_does_not_block_a_small_one() -> None:
    order: list[str] = []

    def slow(inputs: Sequence[int]) -> list[int]:
        assert len(inputs) <= 8
        time.sleep(0.02)
        return list(inputs)

    async def main() -> list[int]:
        scheduler = Scheduler(threads=1, max_batch=8)
        large = scheduler.submit(Queue(slow), list(range(100)))
        small = scheduler.submit(Queue(unchanged), [1])
        large.add_done_callback(lambda _: order.append("large"))
        small.add_done_callback(lambda _: order.append("small"))
        await small
        return await large

    assert run(main) == list(range(100))
    assert order == ["small", "large"]


def test_one_model_never_gets_all_threads() -> None:
    stuck = Doubler(held=True)

    async def main() -> None:
        scheduler = Scheduler(threads=2, max_batch=1)
        queue = Queue(stuck)
        held = [scheduler.submit(queue, [n]) for n in range(6)]
        assert await scheduler.submit(Queue(unchanged), [7]) == [7]
        stuck.gate.set()
        await asyncio.gather(*held)

    run(main)


def test_a_failing_request_fails_alone() -> None:
    model = Doubler(held=True)

    def picky(inputs: Sequence[int]) -> list[int]:
        if -1 in inputs:
            raise ValueError("minus one")
        return model(inputs)

    async def main() -> list[Any]:
        scheduler, queue = Scheduler(threads=2), Queue(picky)
        jobs = [scheduler.submit(queue, [0])]
        await asyncio.to_thread(model.begun.wait, 5)
        jobs += [scheduler.submit(queue, inputs) for inputs in ([1], [2, -1], [3])]
        model.gate.set()
        return await asyncio.gather(*jobs, return_exceptions=True)

    zeroth, first, bad, last = run(main)
    assert (zeroth, first, last) == ([0], [2], [6]) and isinstance(bad, ValueError)


def test_a_full_queue_raises_and_an_empty_one_accepts_any_size() -> None:
    model = Doubler(held=True)

    async def main() -> None:
        scheduler, queue = Scheduler(threads=1, max_batch=4, max_queue=10), Queue(model)
        jobs = [scheduler.submit(queue, list(range(50)))]
        with pytest.raises(QueueFull) as refused:
            scheduler.submit(queue, [1])
        assert refused.value.seconds >= 1 and refused.value.waiting > 10
        model.gate.set()
        await asyncio.gather(*jobs)
        assert queue.waiting == 0 and await scheduler.submit(queue, [1]) == [2]

    run(main)


def test_cancelled_inputs_are_not_computed() -> None:
    model = Doubler(held=True)

    async def main() -> None:
        scheduler, queue = Scheduler(threads=1, max_batch=4), Queue(model)
        first = scheduler.submit(queue, [1])
        await asyncio.to_thread(model.begun.wait, 5)
        gone, stays = scheduler.submit(queue, [2, 3]), scheduler.submit(queue, [4])
        gone.cancel()
        model.gate.set()
        assert await asyncio.gather(first, stays) == [[2], [8]]

    run(main)
    assert model.batches == [[1], [4]]


def test_a_batch_waits_for_more_inputs_if_configured() -> None:
    model = Doubler()

    async def main() -> None:
        scheduler, queue = Scheduler(threads=2, max_batch=3, max_wait_ms=120_000), Queue(model)
        jobs = []
        for n in range(3):
            jobs.append(scheduler.submit(queue, [n]))
            await asyncio.sleep(0.02)
        started = time.perf_counter()
        await asyncio.gather(*jobs)
        assert time.perf_counter() - started < 120  # full, so it didn't wait to the end

    run(main)
    assert model.batches == [[0, 1, 2]]


def test_requests_of_many_event_loops_get_their_own_outputs() -> None:
    def threefold(inputs: Sequence[int]) -> list[int]:
        return [3 * n for n in inputs]

    scheduler, queue = Scheduler(threads=3, max_batch=16, max_queue=100_000), Queue(threefold)
    wrong: list[int] = []

    async def main(start: int) -> None:
        inputs = [list(range(start + n, start + n + n % 40 + 1)) for n in range(300)]
        outputs = await asyncio.gather(*(scheduler.submit(queue, one) for one in inputs))
        wrong.extend(
            n for one, other in zip(inputs, outputs, strict=True) for n, m in zip(one, other, strict=True) if m != 3 * n
        )

    threads = [threading.Thread(target=lambda n=n: asyncio.run(main(1000 * n))) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert not wrong and queue.waiting == 0
