"""Micro-batching: queued inputs of a model share one call of its predictor, and models take turns.

A model faster than INLINE_SECONDS runs in the event loop itself, on all inputs since its last turn: a thread hand-off
would cost more. Slower models run in threads.

By default no batch waits for more inputs (`max_wait_ms`): the next one fills while a thread computes. A request larger
than a batch is split into slices, so that it can't block others, and one model never gets all threads.
"""

import asyncio
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

INLINE_SECONDS = 1e-3  # seconds per batch
DECAY = 0.98  # decay per batch of the slowest seen

Input = TypeVar("Input")
Output = TypeVar("Output")
Argument = TypeVar("Argument")


class QueueFull(Exception):
    """The queue is full."""

    def __init__(self, waiting: int, seconds: int) -> None:
        super().__init__(f"{waiting} inputs are queued already")
        self.waiting, self.seconds = waiting, seconds


class QueuedRequest(Generic[Input, Output]):
    """The inputs of one request, and its outputs so far."""

    __slots__ = ("arrived", "began", "future", "inputs", "loop", "missing", "outputs", "taken")

    def __init__(self, inputs: Sequence[Input]) -> None:
        self.inputs = inputs
        self.outputs: list[Any] = [None] * len(inputs)
        self.taken, self.missing = 0, len(inputs)
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[list[Output]] = self.loop.create_future()
        self.arrived = time.monotonic()
        self.began: float | None = None


class Slice(Generic[Input, Output]):
    """A slice of a request within a batch."""

    __slots__ = ("request", "start", "stop")

    def __init__(self, request: QueuedRequest[Input, Output], start: int, stop: int) -> None:
        self.request, self.start, self.stop = request, start, stop

    @property
    def inputs(self) -> Sequence[Input]:
        """Those of the request that are in this slice."""
        return self.request.inputs[self.start : self.stop]


# What came of a batch: the outputs of each slice, or why there are none.
Outcome = list[tuple[Slice[Input, Output], list[Output] | Exception]]


class Queue(Generic[Input, Output]):
    """The queue of one version of a model."""

    def __init__(self, answer: Callable[[Sequence[Input]], list[Output]], name: str = "", seconds: float = 1.0) -> None:
        """`answer`: one output per input, in order. `seconds`: duration of the warm-up call."""
        self.answer, self.name = answer, name
        self.slowest = seconds  # of recent batches
        self.requests: deque[QueuedRequest[Input, Output]] = deque()
        self.waiting = 0  # inputs
        self.running = 0  # threads
        self.listed = False  # scheduled for a turn
        self.pace = seconds  # per input, a moving average

    def take(self, limit: int) -> list[Slice[Input, Output]]:
        """The oldest inputs, at most so many; those of cancelled requests are dropped."""
        slices: list[Slice[Input, Output]] = []
        while self.requests and limit:
            request = self.requests[0]
            stop = len(request.inputs) if request.future.done() else min(len(request.inputs), request.taken + limit)
            if not request.future.done():
                request.began = request.began or time.monotonic()
                slices.append(Slice(request, request.taken, stop))
                limit -= stop - request.taken
            self.waiting -= stop - request.taken
            request.taken = stop
            if stop == len(request.inputs):
                self.requests.popleft()
        return slices


class Scheduler:
    """Compute threads shared by all models. They start with the first request and end with the process."""

    def __init__(self, threads: int, max_batch: int = 64, max_wait_ms: float = 0.0, max_queue: int = 1024) -> None:
        self.threads, self.max_batch, self.max_queue = threads, max_batch, max_queue
        self.max_wait = max_wait_ms / 1e3
        self.share = max(1, threads - 1)  # threads of one model
        self.turns: deque[Queue[Any, Any]] = deque()
        self.changed = threading.Condition()
        self.alive = 0
        self.observe: Callable[[Queue[Any, Any], int, float], None] | None = None  # queue, size of the batch, seconds
        self.trace: Callable[[QueuedRequest[Any, Any]], None] | None = None  # in the context of the finished request

    def submit(self, queue: Queue[Input, Output], inputs: Sequence[Input]) -> "asyncio.Future[list[Output]]":
        """A future of the outputs. Cancelling it drops the inputs that have not started.

        Raises:
            QueueFull: the queue is full; an empty queue accepts a request of any size.
        """
        request: QueuedRequest[Input, Output] = QueuedRequest(inputs)
        if (trace := self.trace) is not None:
            request.future.add_done_callback(lambda _: trace(request))
        with self.changed:
            if queue.waiting and queue.waiting + len(inputs) > self.max_queue:
                raise QueueFull(queue.waiting, max(1, math.ceil(queue.waiting * queue.pace)))
            queue.requests.append(request)
            queue.waiting += len(inputs)
            self._list(queue)
        return request.future

    def _list(self, queue: Queue[Any, Any]) -> None:
        """Schedules a turn of the queue if necessary."""
        if queue.requests and not queue.listed and queue.running < self.share:
            queue.listed = True
            if (
                queue.slowest > INLINE_SECONDS
                or self.max_wait
                or not call_soon(queue.requests[0].loop, self._turn, queue)
            ):
                self.turns.append(queue)
                self._start()
                self.changed.notify()
        if self.max_wait:
            self.changed.notify_all()  # a thread that waits for this queue may have consumed another's wake-up

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

    def _turn(self, queue: Queue[Any, Any]) -> None:
        with self.changed:
            slices = queue.take(self.max_batch)
            queue.listed = False
            queue.running += 1
            self._list(queue)
        if slices:
            started = time.perf_counter()
            found = run_batch(queue.answer, slices)
            seconds, size = time.perf_counter() - started, sum(piece.stop - piece.start for piece in slices)
            queue.slowest = max(seconds, DECAY * queue.slowest)
            queue.pace += 0.1 * (seconds / size - queue.pace)
            deliver(found)
            if self.observe is not None:
                self.observe(queue, size, seconds)
        with self.changed:
            queue.running -= 1
            self._list(queue)

    def _gather(self, queue: Queue[Any, Any]) -> None:
        if queue.requests:
            left = queue.requests[0].arrived + self.max_wait - time.monotonic()
            self.changed.wait_for(lambda: queue.waiting >= self.max_batch, timeout=max(0.0, left))


def call_soon(loop: asyncio.AbstractEventLoop, call: Callable[[Argument], None], argument: Argument) -> bool:
    """Schedules the call in the event loop; False if the loop is closed."""
    try:
        if asyncio._get_running_loop() is loop:
            loop.call_soon(call, argument)
        else:
            loop.call_soon_threadsafe(call, argument)
    except RuntimeError:
        return False
    return True


def run_batch(
    answer: Callable[[Sequence[Input]], list[Output]], slices: list[Slice[Input, Output]]
) -> Outcome[Input, Output]:
    """One call for the whole batch. If it fails, each request is retried alone, so that one can't fail the others.

    It never raises: what `answer` raises is the outcome of its slice, as is a wrong number of outputs (RuntimeError).
    """
    inputs = [one for piece in slices for one in piece.inputs] if len(slices) > 1 else slices[0].inputs
    try:
        outputs = answer(inputs)
        if len(outputs) != len(inputs):
            raise RuntimeError(f"{len(outputs)} outputs for {len(inputs)} inputs")
    except Exception as error:
        if len(slices) == 1:
            return [(slices[0], error)]
        return [pair for piece in slices for pair in run_batch(answer, [piece])]
    found: Outcome[Input, Output] = []
    at = 0
    for piece in slices:
        size = piece.stop - piece.start
        found.append((piece, outputs[at : at + size]))
        at += size
    return found


def deliver(found: Outcome[Input, Output]) -> None:
    """Wakes each event loop once."""
    loops: dict[asyncio.AbstractEventLoop, Outcome[Input, Output]] = {}
    for piece, outputs in found:
        loops.setdefault(piece.request.loop, []).append((piece, outputs))
    for loop, group in loops.items():
        if asyncio._get_running_loop() is loop:
            resolve_futures(group)
        else:
            call_soon(loop, resolve_futures, group)


def resolve_futures(found: Outcome[Input, Output]) -> None:
    """Resolves each request's future; runs in the request's event loop."""
    for piece, outputs in found:
        request = piece.request
        if request.future.done():
            continue
        if isinstance(outputs, Exception):
            request.future.set_exception(outputs)
            continue
        request.outputs[piece.start : piece.stop] = outputs
        request.missing -= len(outputs)
        if not request.missing:
            request.future.set_result(request.outputs)
