"""Inference of a request: authorisation, timeout, traffic split, prediction log. Used by all routes that predict."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel
from starlette.requests import Request

from roadmap.io.json import JsonObject
from roadmap.prediction_log.recorder import PredictionLogger
from serving.auth.callers import caller, require
from serving.auth.rate_limit import network
from serving.errors import CLIENT_CLOSED_REQUEST, Refusal, cut
from serving.http.noted import note
from serving.runtime.challengers import Challengers
from serving.runtime.mirror import convert_inputs
from serving.runtime.models import Model, checked

DISCONNECT_CHECK_SECONDS = 0.05  # until the first check for a disconnected client: most responses are faster


async def answer(
    request: Request, model: Model, inputs: Sequence[BaseModel], seconds: float | None = None, before: int = 0
) -> list[JsonObject]:
    """One output per input. They also go to the prediction log and, as shadow requests, to the challenger.

    seconds: that it may take, where that is not what the request is allowed
    before: inputs of the same request that were answered already

    Raises:
        Refusal: 504 too late, 422 what training has never seen where strict, and what Model.predict raises.
    """
    authorise(request, model, len(inputs))
    note(request, model, inputs, before)
    began = time.perf_counter()
    challengers: Challengers | None = request.app.state.challengers
    try:
        outputs = await _await_outputs(request, model, inputs, seconds or timeout_of(request))
    except Exception as error:
        if challengers is not None and not (isinstance(error, Refusal) and error.status_code < 500):
            challengers.request_failed(model)
        raise
    recorded = log_prediction(request, model, inputs, outputs, began)
    if challengers is not None:
        request_id = request.scope["state"]["request_id"]
        challengers.request_succeeded(model, inputs, time.perf_counter() - began, request_id, recorded)
    return outputs


async def answer_with_split(
    request: Request, champion: Model, inputs: Sequence[BaseModel]
) -> tuple[list[JsonObject], Model]:
    """Outputs and their version: from the challenger for its share of the callers, with fallback to the champion.

    Raises:
        Refusal: as `answer`, for the champion.
    """
    challengers: Challengers | None = request.app.state.challengers
    if challengers is None or (challenger := challengers.routed_to(caller_of(request), champion)) is None:
        return await answer(request, champion, inputs), champion
    began, seconds = time.perf_counter(), timeout_of(request)
    try:
        return await answer(request, challenger, convert_inputs(inputs, challenger), seconds / 2), challenger
    except Exception as error:
        if isinstance(error, Refusal) and error.status_code in (403, CLIENT_CLOSED_REQUEST):
            raise
        challengers.count_fallback(challenger, error)
    remaining = max(seconds - (time.perf_counter() - began), seconds / 4)
    return await answer(request, champion, inputs, remaining), champion


def caller_of(request: Request) -> str:
    """X-Caller-Id, because one application may serve many people; else the key; else the address."""
    if name := request.headers.get("x-caller-id"):
        return f"caller {name}"
    if found := caller(request.scope):
        return f"key {found.name}"
    return f"address {network(request.client.host) if request.client else ''}"


async def _await_outputs(
    request: Request, model: Model, inputs: Sequence[BaseModel], seconds: float
) -> list[JsonObject]:
    """Waits for the outputs until the timeout, or until the client disconnects."""
    future = model.submit(inputs)
    deadline = Deadline(request, future, seconds)
    try:
        return checked(await future)
    except asyncio.CancelledError:
        if deadline.disconnected:
            raise Refusal(CLIENT_CLOSED_REQUEST, "the client has disconnected") from None  # only for the log
        if deadline.timed_out:
            detail = f"{model.name} timed out after {seconds:g} s; send fewer inputs or retry later"
            raise Refusal(504, detail) from None
        raise
    finally:
        deadline.end()


def authorise(request: Request, model: Model, inputs: int) -> None:
    """The first step of every prediction, on any route: authorises the caller and records the model for logs.

    Raises:
        Refusal: 403, the caller may not use this model.
    """
    require(request.scope, model.name)
    request.scope["state"].update(model=model, inputs=inputs)


def log_prediction(
    request: Request, model: Model, inputs: Sequence[BaseModel], outputs: Sequence[JsonObject], began: float
) -> bool:
    """Logs the predictions if there is a log; returns whether they are logged. `began`: of time.perf_counter()."""
    recorder: PredictionLogger | None = request.app.state.recorder
    if recorder is None:
        return False
    request_id, seconds = request.scope["state"]["request_id"], time.perf_counter() - began
    return recorder.record(model, inputs, outputs, request_id, seconds)


class Deadline:
    """Cancels a future when the client disconnects or the timeout expires. Costs almost nothing for fast responses."""

    def __init__(self, request: Request, future: "asyncio.Future[Any]", seconds: float) -> None:
        self.request, self.future, self.seconds = request, future, seconds
        self.disconnected = self.timed_out = False
        self.task: asyncio.Task[None] | None = None
        self.timer = asyncio.get_running_loop().call_later(min(DISCONNECT_CHECK_SECONDS, seconds), self._begin)

    def _begin(self) -> None:
        self.task = asyncio.ensure_future(self._watch())

    async def _watch(self) -> None:
        try:
            async with asyncio.timeout(max(self.seconds - DISCONNECT_CHECK_SECONDS, 0)):
                while (await self.request.receive())["type"] != "http.disconnect":
                    pass
            self.disconnected = True
        except TimeoutError:
            self.timed_out = True
        self.future.cancel()

    def end(self) -> None:
        """Stops watching: the future is done."""
        self.timer.cancel()
        if self.task is not None:
            self.task.cancel()


def timeout_of(request: Request) -> float:
    """The timeout in seconds: the server's limit, or the header X-Request-Timeout if lower.

    Raises:
        Refusal: 400, the header is no number above 0.
    """
    limit: float = request.app.state.settings.timeout_seconds
    header = request.headers.get("x-request-timeout")
    if header is None:
        return limit
    try:
        seconds = float(header)
    except ValueError:
        seconds = -1.0
    if not seconds > 0:
        raise Refusal(400, f"X-Request-Timeout should be a number of seconds above 0, not {cut(header)!r}")
    return min(seconds, limit)
