"""Shadow requests: the challenger predicts after the champion has answered, in short turns of the event loop.

The queue is bounded. If the challenger is too slow or the server too busy, shadow requests are dropped and counted.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple

from pydantic import BaseModel

from roadmap.prediction_log.recorder import PredictionLogger
from serving.observability import metrics
from serving.runtime.models import Model, checked

MAX_WAITING = 256  # inputs
MAX_PER_TURN = 16  # inputs per turn
PAUSE = 0.01  # seconds between turns, in which requests gather into one much cheaper call

log = logging.getLogger("serving")


class ShadowRequest(NamedTuple):
    """A request that the champion has answered."""

    challenger: Model
    inputs: Sequence[BaseModel]  # of the champion's type
    request_id: str
    recorded: bool  # whether the champion's prediction is logged: pairs are logged together


class Mirror:
    """The queue of shadow requests and its task. Belongs to one event loop."""

    def __init__(self, recorder: PredictionLogger | None, seconds: float, max_inputs: int = MAX_WAITING) -> None:
        """seconds: timeout of a prediction"""
        self.recorder, self.seconds, self.max_inputs = recorder, seconds, max_inputs
        self._waiting: deque[ShadowRequest] = deque()
        self._inputs = 0
        self._task: asyncio.Task[None] | None = None
        self._warned: set[str] = set()  # versions whose first failure is in the log

    def put(self, shadow: ShadowRequest) -> None:
        """Never waits and never raises."""
        if self._inputs and self._inputs + len(shadow.inputs) > self.max_inputs:
            metrics.mirror_dropped(shadow.challenger.name)
            return
        self._waiting.append(shadow)
        self._inputs += len(shadow.inputs)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._work())

    async def close(self, seconds: float = 5.0) -> None:
        """Drains the queue, within this time."""
        if self._task is not None:
            await asyncio.wait([self._task], timeout=seconds)
            self._task.cancel()

    async def _work(self) -> None:
        while self._waiting:
            await asyncio.sleep(PAUSE)
            batch = self._next_turn()
            try:
                await self._predict(batch)
            finally:
                self._inputs -= sum(len(shadow.inputs) for shadow in batch)

    async def _predict(self, batch: list[ShadowRequest]) -> None:
        began = time.perf_counter()
        submitted = [(shadow, inputs, future) for shadow in batch for inputs, future in self._submit(shadow)]
        if submitted:
            await asyncio.wait([future for *_, future in submitted], timeout=self.seconds)
        seconds = time.perf_counter() - began
        for shadow, inputs, future in submitted:
            self._finish(shadow, inputs, future, seconds)
            await asyncio.sleep(0)  # requests take precedence over the next shadow request

    def _next_turn(self) -> list[ShadowRequest]:
        batch = [self._waiting.popleft()]
        size = len(batch[0].inputs)
        while self._waiting and (size := size + len(self._waiting[0].inputs)) <= MAX_PER_TURN:
            batch.append(self._waiting.popleft())
        return batch

    def _submit(self, shadow: ShadowRequest) -> list[tuple[Sequence[Any], "asyncio.Future[Any]"]]:
        """The inputs converted for the challenger, and a future of its outputs; None if it is unavailable."""
        try:
            inputs = convert_inputs(shadow.inputs, shadow.challenger)
            return [(inputs, shadow.challenger.submit(inputs))]
        except Exception as error:
            self._count_failure(shadow, error)
            return []

    def _finish(
        self, shadow: ShadowRequest, inputs: Sequence[Any], future: "asyncio.Future[Any]", seconds: float
    ) -> None:
        challenger = shadow.challenger
        if not future.done():
            future.cancel()
            self._count_failure(shadow, TimeoutError(f"timed out after {self.seconds:g} s"))
            return
        try:
            outputs = checked(future.result())
        except (Exception, asyncio.CancelledError) as error:  # any error: nobody waits for this prediction
            self._count_failure(shadow, error)
            return
        metrics.arm(challenger.name, challenger.version, "shadow", "answered", seconds)
        if self.recorder is not None and shadow.recorded:
            self.recorder.record(challenger, inputs, outputs, shadow.request_id, seconds, always=True)

    def _count_failure(self, shadow: ShadowRequest, error: BaseException) -> None:
        challenger = shadow.challenger
        metrics.arm(challenger.name, challenger.version, "shadow", "failed")
        if challenger.version not in self._warned:
            self._warned.add(challenger.version)
            message = "%s: challenger %s fails: %r; later failures are only counted"
            log.warning(message, challenger.name, challenger.version, error)


_alike: dict[tuple[type, type], bool] = {}  # request types of two bundles -> whether they accept the same


def convert_inputs(inputs: Sequence[BaseModel], model: Model) -> Sequence[BaseModel]:
    """Converts inputs for this model. Bundles of one project mostly accept the same, which needs no conversion.

    Raises:
        ValidationError: it accepts different inputs, such as other columns.
    """
    types = type(inputs[0]), model.request
    if types not in _alike:
        if len(_alike) > 64:  # versions come and go
            _alike.clear()
        _alike[types] = _schema(types[0]) == _schema(types[1])
    if _alike[types] and len(inputs) <= model.input_limit:
        return inputs
    batch = model.batch.model_validate({"inputs": [one.model_dump(by_alias=True) for one in inputs]})
    return list(batch.inputs)


def _schema(request: type) -> dict[str, Any]:
    schema = request.model_json_schema()  # type: ignore[attr-defined]
    return {name: value for name, value in schema.items() if name not in ("title", "example", "description")}
