"""POST /models/<project>/stream: a generative model's output as server-sent events."""

import json
import logging
import time
from codecs import BOM_UTF8
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Annotated, Any

from fastapi import Body
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from serving.errors import Refusal
from serving.http.answering import authorise, log_prediction, timeout_of
from serving.http.media import json_only
from serving.http.predict import validated
from serving.http.problems import documented
from serving.runtime.generation import Piece
from serving.runtime.models import Model

EVENTS = 'events `text` with `{"text": ...}`, then one event `done` with the whole response or one event `error`'

log = logging.getLogger("serving")


class Events(StreamingResponse):
    """A stream of server-sent events. Its source is closed when the client disconnects, which stops the generation."""

    media_type = "text/event-stream"

    def __init__(self, events: AsyncGenerator[str, None], headers: dict[str, str]) -> None:
        proxies = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}  # must not buffer
        super().__init__(events, headers={**proxies, **headers})
        self.events = events

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self.events.aclose()


def event(content: object, name: str | None = None) -> str:
    """A server-sent event whose data is JSON."""
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {json.dumps(content, ensure_ascii=False)}\n\n"


async def start_stream(
    events: AsyncGenerator[str, None], headers: dict[str, str], failure: Callable[[int, str], str]
) -> Events:
    """Errors before the first event have their own status; later ones become an event, made by `failure`."""
    first = await anext(events)

    async def all_events() -> AsyncGenerator[str, None]:
        async with aclosing(events):
            yield first
            try:
                async for one in events:
                    yield one
            except Refusal as refusal:
                yield failure(refusal.status_code, refusal.detail)
            except Exception:
                log.exception("a stream failed")
                yield failure(500, "internal error; see the server's log")

    return Events(all_events(), headers)


async def stream(request: Request) -> Events:
    """Events `text` with `{"text": ...}`, then one event `done` with the whole response.

    Raises:
        Refusal: 404 unknown or not streaming, 415, 503, 504.
        RequestValidationError: 422, the body doesn't match the model's request.
    """
    model = await request.app.state.store.model(request.path_params["name"])
    request.state.model = model
    if not model.generates_text:
        raise Refusal(404, f"{model.name} does not stream; use /models/{model.name}/predict")
    json_only(request)
    body = validated(model.request.model_validate_json, (await request.body()).removeprefix(BOM_UTF8))
    pieces = stream_outputs(request, model, [body])

    async def events() -> AsyncGenerator[str, None]:
        async with aclosing(pieces):
            async for _, piece in pieces:
                yield event({"text": piece}, "text") if isinstance(piece, str) else event(piece.model_dump(), "done")

    return await start_stream(events(), model.headers, error_event)


def stream_outputs(
    request: Request, model: Model, inputs: Sequence[BaseModel]
) -> AsyncGenerator[tuple[int, Piece], None]:
    """Model.stream within the timeout of the request. Raises: Refusal, as `authorise` and `timeout_of` do."""
    authorise(request, model, len(inputs))
    return log_responses(request, model, inputs, model.stream(inputs, timeout_of(request)))


async def log_responses(
    request: Request, model: Model, inputs: Sequence[BaseModel], pieces: AsyncGenerator[tuple[int, Piece], None]
) -> AsyncGenerator[tuple[int, Piece], None]:
    """Passes pieces on and logs each whole response."""
    began = time.perf_counter()
    async with aclosing(pieces):
        async for number, piece in pieces:
            if not isinstance(piece, str):  # the whole response
                log_prediction(request, model, [inputs[number]], [piece.model_dump()], began)
            yield number, piece


def error_event(status: int, detail: str) -> str:
    """An event `error`, in place of the status that can't be sent any more."""
    return event({"status": status, "detail": detail}, "error")


def documentation(model: Model) -> APIRoute:
    """The OpenAPI entry of this model."""
    example: Any = {"summary": "A valid request", "value": model.example[0]}
    Example = Body(openapi_examples={"example": example})

    def endpoint(request: Annotated[model.request, Example]) -> None:  # type: ignore[name-defined]
        """Generates text for one input and sends it as server-sent events."""

    return APIRoute(
        f"/models/{model.name}/stream",
        endpoint,
        methods=["POST"],
        operation_id=f"stream_{model.name}",
        summary="Stream generated text",
        tags=[model.name],
        response_class=StreamingResponse,
        responses=documented(400, 404, 413, 415, 422, 500, 503, 504)
        | {200: {"content": {"text/event-stream": {}}, "description": EVENTS}},
    )
