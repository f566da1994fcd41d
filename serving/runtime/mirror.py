"""Shadow requests: the challenger predicts after the champion has answered, in short turns of the event loop.

The queue is bounded. If the challenger is too slow or the server too busy, shadow requests are dropped and counted.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple

from roadmap.prediction_log.recorder import PredictionLogger
from serving.observability import metrics
from serving.runtime.models import Model, checked

MOST_WAITING = 256  # inputs
TURN = 16  # inputs per turn
PAUSE = 0.01  # seconds between turns, in which requests gather into one much cheaper call

log = logging.getLogger("serving")


class ShadowRequest(NamedTuple):
    """A request that the champion has answered."""

    challenger: Model
    inputs: Sequence[Any]  # of the champion's type
    request_id: str
    recorded: bool  # whether the champion's prediction is logged: pairs are logged together


class Mirror:
    """The queue of shadow requests and its task. Belongs to one event loop."""

    def __init__(self, recorder: PredictionLogger | None, seconds: float, most: int = MOST_WAITING) -> None:
        """seconds: timeout of a prediction"""
        self.recorder, self.seconds, self.most = recorder, seconds, most
        self._waiting: deque[ShadowRequest] = deque()
        self._inputs = 0
        self._task: asyncio.Task[None] | None = None
        self._complained: set[str] = set()  # versions whose first failure is in the log

    def put(self, copy: ShadowRequest) -> None:
        """Never waits and never raises."""
        if self._inputs and self._inputs + len(copy.inputs) > self.most:
            metrics.mirror_dropped(copy.challenger.name)
            return
        self._waiting.append(copy)
        self._inputs += len(copy.inputs)
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
            turn = self._turn()
            try:
                await self._take(turn)
            finally:
                self._inputs -= sum(len(copy.inputs) for copy in turn)

    async def _take(self, turn: list[ShadowRequest]) -> None:
        began = time.perf_counter()
        asked = [(copy, inputs, future) for copy in turn for inputs, future in self._asked(copy)]
        if asked:
            await asyncio.wait([future for *_, future in asked], timeout=self.seconds)
        seconds = time.perf_counter() - began
        for copy, inputs, future in asked:
            self._answered(copy, inputs, future, seconds)
            await asyncio.sleep(0)  # requests take precedence over the next shadow request

    def _turn(self) -> list[ShadowRequest]:
        turn = [self._waiting.popleft()]
        size = len(turn[0].inputs)
        while self._waiting and (size := size + len(self._waiting[0].inputs)) <= TURN:
            turn.append(self._waiting.popleft())
        return turn

    def _asked(self, copy: ShadowRequest) -> list[tuple[Sequence[Any], "asyncio.Future[Any]"]]:
        """The inputs converted for the challenger, and a future of its outputs; None if it is unavailable."""
        try:
            inputs = adapted(copy.inputs, copy.challenger)
            return [(inputs, copy.challenger.submit(inputs))]
        except Exception as error:
            self._failed(copy, error)
            return []

    def _answered(
        self, copy: ShadowRequest, inputs: Sequence[Any], future: "asyncio.Future[Any]", seconds: float
    ) -> None:
        challenger = copy.challenger
        if not future.done():
            future.cancel()
            self._failed(copy, TimeoutError(f"timed out after {self.seconds:g} s"))
            return
        try:
            outputs = checked(future.result())
        except (Exception, asyncio.CancelledError) as error:  # any error: nobody waits for this prediction
            self._failed(copy, error)
            return
        metrics.arm(challenger.name, challenger.version, "shadow", "answered", seconds)
        if self.recorder is not None and copy.recorded:
            self.recorder.record(challenger, inputs, outputs, copy.request_id, seconds, always=True)

    def _failed(self, copy: ShadowRequest, error: BaseException) -> None:
        challenger = copy.challenger
        metrics.arm(challenger.name, challenger.version, "shadow", "failed")
        if challenger.version not in self._complained:
            self._complained.add(challenger.version)
            words = "%s: challenger %s fails: %r; later failures are only counted"
            log.warning(words, challenger.name, challenger.version, error)


_alike: dict[tuple[type, type], bool] = {}  # request types of two bundles -> whether they accept the same


def adapted(inputs: Sequence[Any], model: Model) -> Sequence[Any]:
    """Converts inputs for this model. Bundles of one project mostly accept the same, which needs no conversion.

    Raises:
        ValidationError: it accepts different inputs, such as other columns.
    """
    types = type(inputs[0]), model.request
    if types not in _alike:
        if len(_alike) > 64:  # versions come and go
            _alike.clear()
        _alike[types] = _schema(types[0]) == _schema(types[1])
    if _alike[types] and len(inputs) <= model.most:
        return inputs
    batch: Any = model.batch.model_validate({"inputs": [one.model_dump(by_alias=True) for one in inputs]})
    return list(batch.inputs)


def _schema(request: type) -> dict[str, Any]:
    schema = request.model_json_schema()  # type: ignore[attr-defined]
    return {name: value for name, value in schema.items() if name not in ("title", "example", "description")}
