"""A request's answer: by which model, for how long, and where it is written down. All routes that predict come here."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from starlette.requests import Request

from roadmap.prediction_log.recorder import Recorder
from serving.auth.callers import require
from serving.http.problems import Refusal, cut
from serving.runtime.models import Model, checked

PATIENCE = 0.05  # seconds until it is asked whether the client is still there: most answers are quicker


async def answer(
    request: Request, model: Model, inputs: Sequence[Any], seconds: float | None = None
) -> list[dict[str, Any]]:
    """The model's outputs, in the prediction log and with the challenger's mirror as well.

    seconds: that it may take, where that is not what the request is allowed

    Raises:
        Refusal: 504 too late, and what Model.predict raises.
    """
    begin(request, model, len(inputs))
    began = time.perf_counter()
    challengers = request.app.state.challengers
    try:
        outputs = await _watched(request, model, inputs, seconds or allowed(request))
    except Exception as error:
        if challengers is not None and getattr(error, "status_code", 500) >= 500:
            challengers.failed(model)
        raise
    recorded = record(request, model, inputs, outputs, began)
    if challengers is not None:
        challengers.answered(request, model, inputs, time.perf_counter() - began, recorded)
    return outputs


async def _watched(request: Request, model: Model, inputs: Sequence[Any], seconds: float) -> list[dict[str, Any]]:
    """While somebody waits for them, and not for longer than this."""
    future = model.submit(inputs)
    watch = Watch(request, future, seconds)
    try:
        return checked(await future)
    except asyncio.CancelledError:
        if watch.gone:
            raise Refusal(499, "the client has left") from None  # for the log: nobody reads it
        if watch.late:
            said = f"{model.name} has no answer after {seconds:g} s; send fewer inputs, or ask again later"
            raise Refusal(504, said) from None
        raise
    finally:
        watch.end()


def begin(request: Request, model: Model, inputs: int) -> None:
    """Where every answer begins, whichever route it is for: so none can forget whom it serves, or to say what answered.

    Raises:
        Refusal: 403, the caller may not use this model.
    """
    require(request.scope, model.name)
    request.scope["state"].update(model=model, inputs=inputs)


def record(
    request: Request, model: Model, inputs: Sequence[Any], outputs: Sequence[dict[str, Any]], began: float
) -> bool:
    """Into the prediction log, where there is one; whether it is in there. `began` is of time.perf_counter()."""
    recorder: Recorder | None = request.app.state.recorder
    if recorder is None:
        return False
    request_id, seconds = request.scope["state"]["request_id"], time.perf_counter() - began
    return recorder.record(model, inputs, outputs, request_id, seconds)


class Watch:
    """Cancels a future when the client has left, or when its time is over. Costs next to nothing for quick answers."""

    def __init__(self, request: Request, future: "asyncio.Future[Any]", seconds: float) -> None:
        self.request, self.future, self.seconds = request, future, seconds
        self.gone = self.late = False
        self.task: asyncio.Task[None] | None = None
        self.timer = asyncio.get_running_loop().call_later(min(PATIENCE, seconds), self._begin)

    def _begin(self) -> None:
        self.task = asyncio.ensure_future(self._watch())

    async def _watch(self) -> None:
        try:
            async with asyncio.timeout(max(self.seconds - PATIENCE, 0)):
                while (await self.request.receive())["type"] != "http.disconnect":
                    pass
            self.gone = True
        except TimeoutError:
            self.late = True
        self.future.cancel()

    def end(self) -> None:
        self.timer.cancel()
        if self.task is not None:
            self.task.cancel()


def allowed(request: Request) -> float:
    """Seconds: the server's limit, or the header X-Request-Timeout where it says less."""
    most: float = request.app.state.settings.timeout_seconds
    asked = request.headers.get("x-request-timeout")
    if asked is None:
        return most
    try:
        seconds = float(asked)
    except ValueError:
        seconds = -1.0
    if not seconds > 0:
        raise Refusal(400, f"X-Request-Timeout should be a number of seconds above 0, not {cut(asked)!r}")
    return min(seconds, most)
