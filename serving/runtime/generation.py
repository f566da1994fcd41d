"""Continuous batching: all requests of a model are generated together, whenever they arrive.

A small model generates a token in less time than it takes to wake the event loop and send a packet. So pieces within
FLUSH_SECONDS are sent together; the first and the last piece never wait.
"""

import asyncio
import logging
import math
import threading
import time
from collections import deque
from collections.abc import AsyncGenerator, Generator, Sequence
from typing import Any, Protocol

from pydantic import BaseModel

from roadmap.bundle import Batches, GenerationBatch, ScoredText, Streams
from roadmap.io.json import JsonObject
from serving.runtime.batching import QueueFull

FLUSH_SECONDS = 0.005  # seconds; imperceptible to a reader

log = logging.getLogger("serving")


class GeneratedUsage(Protocol):
    """Tokens of a request and its response."""

    @property
    def completion_tokens(self) -> int:
        """Tokens generated."""

    def model_dump(self) -> JsonObject:
        """As JSON."""


class GeneratedText(Protocol):
    """What is read of the `Response` of a predictor that streams."""

    @property
    def finish_reason(self) -> str:
        """stop or length"""

    @property
    def usage(self) -> GeneratedUsage:
        """Its tokens."""

    def model_dump(self) -> JsonObject:
        """As JSON."""


Piece = str | GeneratedText  # of an output: pieces of text, finally the whole response


class GenerationJob:
    """One request and the queue of its output."""

    def __init__(self, request: BaseModel, number: int, pieces: "asyncio.Queue[tuple[int, Any]]") -> None:
        self.request, self.number, self.pieces = request, number, pieces
        self.loop = asyncio.get_running_loop()
        self.started = self.cancelled = False


class SingleRequestBatch:
    """A batch of one, for a predictor that has only `stream`."""

    size = 1

    def __init__(self, predictor: Streams) -> None:
        self.predictor = predictor
        self.sources: list[Any] = []

    def __len__(self) -> int:
        return len(self.sources)

    def add(self, request: BaseModel) -> Generator[str | BaseModel, None, None]:
        """Begins the request; its stream is its key."""
        self.sources.append(self.predictor.stream(request))
        source: Generator[str | BaseModel, None, None] = self.sources[-1]
        return source

    def drop(self, key: Generator[str | BaseModel, None, None]) -> None:
        """Ends the request."""
        key.close()
        self.sources.remove(key)

    def step(self) -> list[tuple[Generator[str | BaseModel, None, None], str | BaseModel | Exception]]:
        """The next piece of text, the `Response`, or what the predictor raised, behind its key."""
        (source,) = self.sources
        try:
            piece: Any = next(source)
        except Exception as error:
            piece = error
        if not isinstance(piece, str):
            self.drop(source)
        return [(source, piece)]


class GenerationLoop:
    """The generation loop of one model. Its thread lives only while there are requests."""

    def __init__(self, predictor: Streams, max_queue: int) -> None:
        self.predictor, self.max_queue = predictor, max_queue
        self.lock = threading.Lock()
        self.waiting: deque[GenerationJob] = deque()
        self.running: dict[Any, GenerationJob] = {}
        self.unsent: dict[GenerationJob, list[Any]] = {}
        self.thread: threading.Thread | None = None
        self.pace = 0.1  # seconds per response, a moving average

    async def complete(self, requests: Sequence[BaseModel]) -> list[GeneratedText]:
        """One complete response per request, in order. Cancelling removes them from the batch at its next step.

        Raises: as `stream`.
        """
        answers: list[Any] = [None] * len(requests)
        async for number, piece in self.stream(requests):
            answers[number] = piece  # the last one is the response
        return answers

    async def stream(
        self, requests: Sequence[BaseModel], seconds: float | None = None
    ) -> AsyncGenerator[tuple[int, Piece], None]:
        """Yields (index of the request, a piece of text, finally its response).

        seconds: that it may take; None: as long as it likes

        Closing removes unfinished requests from the batch at its next step.

        Raises:
            QueueFull: the queue is full.
            TimeoutError: the timeout expired.
            Exception: what the predictor raised for one of them.
        """
        pieces: asyncio.Queue[tuple[int, Any]] = asyncio.Queue()
        jobs = [GenerationJob(request, number, pieces) for number, request in enumerate(requests)]
        end = None if seconds is None else asyncio.get_running_loop().time() + seconds
        self._enqueue(jobs)
        try:
            missing = len(jobs)
            while missing:
                async with asyncio.timeout_at(end):
                    number, piece = await pieces.get()
                if isinstance(piece, Exception):
                    raise piece
                yield number, piece
                missing -= not isinstance(piece, str)
        finally:
            for job in jobs:
                job.cancelled = True

    def _enqueue(self, jobs: list[GenerationJob]) -> None:
        with self.lock:
            if self.waiting and len(self.waiting) + len(jobs) > self.max_queue:
                raise QueueFull(len(self.waiting), max(1, math.ceil(len(self.waiting) * self.pace)))
            self.waiting += jobs
            if self.thread is None:
                self.thread = threading.Thread(target=self._work, name="generation", daemon=True)
                self.thread.start()

    def _batch(self) -> GenerationBatch:
        return self.predictor.batch() if isinstance(self.predictor, Batches) else SingleRequestBatch(self.predictor)

    def _work(self) -> None:
        batch = self._batch()
        ended = self.sent = time.monotonic()
        while self._admit(batch):
            try:
                news = batch.step()
            except Exception as error:
                log.exception("a generation step failed; the active requests are lost")
                news = [(key, error) for key in self.running]
                batch = self._batch()
            answers = sum(not isinstance(piece, str) for _, piece in news)
            if answers:
                now = time.monotonic()
                self.pace += 0.1 * ((now - ended) / answers - self.pace)
                ended = now
            self._deliver(news)

    def _admit(self, batch: GenerationBatch) -> bool:
        """Removes cancelled requests and adds new ones. False if there is nothing to do."""
        failed: list[tuple[GenerationJob, Exception]] = []
        with self.lock:
            for key in [key for key, job in self.running.items() if job.cancelled]:
                batch.drop(key)
                del self.running[key]
            while self.waiting and len(self.running) < batch.size:
                job = self.waiting.popleft()
                if job.cancelled:
                    continue
                try:
                    self.running[batch.add(job.request)] = job
                except Exception as error:
                    failed.append((job, error))
            if not self.running:
                self.thread = None
                self.unsent.clear()  # of removed requests
        deliver(failed)
        return bool(self.running)

    def _deliver(self, news: list[tuple[Any, Any]]) -> None:
        urgent = False
        for key, piece in news:
            job = self.running[key]
            self.unsent.setdefault(job, []).append(piece)
            urgent |= not job.started or not isinstance(piece, str)
            job.started = True
            if not isinstance(piece, str):
                del self.running[key]
        if urgent or time.monotonic() - self.sent > FLUSH_SECONDS:
            deliver([(job, piece) for job, pieces in self.unsent.items() for piece in merge_text(pieces)])
            self.unsent.clear()
            self.sent = time.monotonic()


def merge_text(pieces: Sequence[Piece | Exception]) -> list[Piece | Exception]:
    """Joins pieces of plain text; those with log-probabilities and the final response stay separate."""
    if any(isinstance(piece, ScoredText) for piece in pieces):
        return list(pieces)
    text = "".join(piece for piece in pieces if isinstance(piece, str))
    return [*[text] * bool(text), *(piece for piece in pieces if not isinstance(piece, str))]


def deliver(news: Sequence[tuple[GenerationJob, Piece | Exception]]) -> None:
    """Wakes each event loop once."""
    loops: dict[asyncio.AbstractEventLoop, list[tuple[GenerationJob, Piece | Exception]]] = {}
    for job, piece in news:
        loops.setdefault(job.loop, []).append((job, piece))
    for loop, group in loops.items():
        try:
            loop.call_soon_threadsafe(hand_over, group)
        except RuntimeError:  # the event loop is closed
            for job, _ in group:
                job.cancelled = True


def hand_over(news: Sequence[tuple[GenerationJob, Piece | Exception]]) -> None:
    """Puts each piece into the queue of its request; runs in that request's event loop."""
    for job, piece in news:
        job.pieces.put_nowait((job.number, piece))
