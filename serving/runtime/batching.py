"""Micro-batching: inputs that wait for the same model are answered by one call, and the models take turns.

A model that answers in less than QUICK does so in the event loop itself, where a turn takes what has arrived since the
last one: handing it to a thread and back would cost more. The others have threads.

Nobody waits for company unless `max_wait_ms` says so: while a thread computes, the next batch gathers by itself. A
request larger than a batch is answered in parts, so that it can't keep the others out, and one model never gets all
threads.
"""

import asyncio
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

QUICK = 1e-3  # seconds of a batch
FORGET = 0.98  # per batch, of the slowest that was seen

Answer = Callable[[Sequence[Any]], list[Any]]


class Full(Exception):
    """Too many inputs wait already."""

    def __init__(self, waiting: int, seconds: int) -> None:
        super().__init__(f"{waiting} inputs wait already")
        self.waiting, self.seconds = waiting, seconds


class Job:
    """The inputs of one request, and what is known of their outputs."""

    __slots__ = ("arrived", "began", "future", "inputs", "loop", "missing", "outputs", "taken")

    def __init__(self, inputs: Sequence[Any]) -> None:
        self.inputs, self.outputs = inputs, [None] * len(inputs)
        self.taken, self.missing = 0, len(inputs)
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[list[Any]] = self.loop.create_future()
        self.arrived = time.monotonic()
        self.began: float | None = None


class Part:
    """A slice of a job within a batch."""

    __slots__ = ("job", "start", "stop")

    def __init__(self, job: Job, start: int, stop: int) -> None:
        self.job, self.start, self.stop = job, start, stop

    @property
    def inputs(self) -> Sequence[Any]:
        return self.job.inputs[self.start : self.stop]


class Queue:
    """What waits for one version of a model."""

    def __init__(self, answer: Answer, name: str = "", seconds: float = 1.0) -> None:
        """`seconds`: what a call has taken that made the model warm."""
        self.answer, self.name = answer, name
        self.slowest = seconds  # of the latest batches
        self.jobs: deque[Job] = deque()
        self.waiting = 0  # inputs
        self.running = 0  # threads
        self.listed = False  # among those whose turn will come
        self.pace = seconds  # per input, a moving average

    def take(self, most: int) -> list[Part]:
        """The oldest inputs, at most so many; those of requests that nobody waits for any more are dropped."""
        parts: list[Part] = []
        while self.jobs and most:
            job = self.jobs[0]
            stop = len(job.inputs) if job.future.done() else min(len(job.inputs), job.taken + most)
            if not job.future.done():
                job.began = job.began or time.monotonic()
                parts.append(Part(job, job.taken, stop))
                most -= stop - job.taken
            self.waiting -= stop - job.taken
            job.taken = stop
            if stop == len(job.inputs):
                self.jobs.popleft()
        return parts


class Scheduler:
    """Threads that compute, shared by all models. They start with the first job, and end with the process."""

    def __init__(self, threads: int, max_batch: int = 64, max_wait_ms: float = 0.0, max_queue: int = 1024) -> None:
        self.threads, self.max_batch, self.max_queue = threads, max_batch, max_queue
        self.max_wait = max_wait_ms / 1e3
        self.share = max(1, threads - 1)  # threads of one model
        self.turns: deque[Queue] = deque()
        self.changed = threading.Condition()
        self.alive = 0
        self.observe: Callable[[Queue, int, float], None] | None = None  # queue, size of the batch, seconds
        self.trace: Callable[[Job], None] | None = None  # called in the context of the request whose job has ended

    def submit(self, queue: Queue, inputs: Sequence[Any]) -> "asyncio.Future[list[Any]]":
        """The future outputs. Cancel it, and what has not begun is not computed.

        Raises:
            Full: more would wait than may; an empty queue takes a request of any size.
        """
        job = Job(inputs)
        if (trace := self.trace) is not None:
            job.future.add_done_callback(lambda _: trace(job))
        with self.changed:
            if queue.waiting and queue.waiting + len(inputs) > self.max_queue:
                raise Full(queue.waiting, max(1, math.ceil(queue.waiting * queue.pace)))
            queue.jobs.append(job)
            queue.waiting += len(inputs)
            self._list(queue)
        return job.future

    def _list(self, queue: Queue) -> None:
        """Gives the queue a turn, if it needs one and has none."""
        if queue.jobs and not queue.listed and queue.running < self.share:
            queue.listed = True
            if queue.slowest > QUICK or self.max_wait or not soon(queue.jobs[0].loop, self._turn, queue):
                self.turns.append(queue)
                self._start()
                self.changed.notify()
        if self.max_wait:
            self.changed.notify_all()  # a thread may wait for this queue to grow, and have taken another's call

    def _start(self) -> None:
        if self.alive < self.threads:
            self.alive += 1
            threading.Thread(target=self._work, name=f"compute-{self.alive}", daemon=True).start()

    def _work(self) -> None:
        while True:
            with self.changed:
                while not self.turns:
                    self.changed.wait()
                queue = self.turns.popleft()
                if self.max_wait:
                    self._gather(queue)
            self._turn(queue)

    def _turn(self, queue: Queue) -> None:
        with self.changed:
            parts = queue.take(self.max_batch)
            queue.listed = False
            queue.running += 1
            self._list(queue)
        if parts:
            started = time.perf_counter()
            found = answered(queue.answer, parts)
            seconds, size = time.perf_counter() - started, sum(part.stop - part.start for part in parts)
            queue.slowest = max(seconds, FORGET * queue.slowest)
            queue.pace += 0.1 * (seconds / size - queue.pace)
            deliver(found)
            if self.observe is not None:
                self.observe(queue, size, seconds)
        with self.changed:
            queue.running -= 1
            self._list(queue)

    def _gather(self, queue: Queue) -> None:
        if queue.jobs:
            left = queue.jobs[0].arrived + self.max_wait - time.monotonic()
            self.changed.wait_for(lambda: queue.waiting >= self.max_batch, timeout=max(0.0, left))


def soon(loop: asyncio.AbstractEventLoop, call: Callable[..., None], argument: Any) -> bool:
    """Lets the loop call it in its next round; False if the loop is closed, so that nobody waits there."""
    try:
        if asyncio._get_running_loop() is loop:
            loop.call_soon(call, argument)
        else:
            loop.call_soon_threadsafe(call, argument)
    except RuntimeError:
        return False
    return True


def answered(answer: Answer, parts: list[Part]) -> list[tuple[Part, list[Any] | Exception]]:
    """One call for all. Where it fails, each request is tried alone: what one sends must not fail the others."""
    inputs = [one for part in parts for one in part.inputs] if len(parts) > 1 else parts[0].inputs
    try:
        outputs = answer(inputs)
        if len(outputs) != len(inputs):
            raise RuntimeError(f"{len(outputs)} outputs for {len(inputs)} inputs")
    except Exception as error:
        if len(parts) == 1:
            return [(parts[0], error)]
        return [pair for part in parts for pair in answered(answer, [part])]
    found: list[tuple[Part, list[Any] | Exception]] = []
    at = 0
    for part in parts:
        size = part.stop - part.start
        found.append((part, outputs[at : at + size]))
        at += size
    return found


def deliver(found: list[tuple[Part, list[Any] | Exception]]) -> None:
    """Wakes each event loop once."""
    loops: dict[asyncio.AbstractEventLoop, list[tuple[Part, list[Any] | Exception]]] = {}
    for part, outputs in found:
        loops.setdefault(part.job.loop, []).append((part, outputs))
    for loop, own in loops.items():
        if asyncio._get_running_loop() is loop:
            settle(own)
        else:
            soon(loop, settle, own)


def settle(found: list[tuple[Part, list[Any] | Exception]]) -> None:
    for part, outputs in found:
        job = part.job
        if job.future.done():
            continue
        if isinstance(outputs, Exception):
            job.future.set_exception(outputs)
            continue
        job.outputs[part.start : part.stop] = outputs
        job.missing -= len(outputs)
        if not job.missing:
            job.future.set_result(job.outputs)
