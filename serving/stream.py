"""POST /models/<project>/stream: a generative model's answer as server-sent events, while it is being written."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any

from fastapi import Body
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import StreamingResponse

from serving.models import Model
from serving.predict import validated
from serving.problems import Refusal, documented, json_only

END: Any = object()


def streams(model: Model) -> bool:
    return hasattr(model.predictor, "stream")


async def pieces(source: Iterator[Any]) -> AsyncIterator[Any]:
    """Each piece is made in a thread. When the client goes away, the source is closed, and no more is computed."""
    try:
        while (piece := await asyncio.to_thread(next, source, END)) is not END:
            yield piece
    finally:
        # A cancelled step may still run in its thread; it ends there, and nobody asks for the next.
        if not getattr(source, "gi_running", False):
            source.close()  # type: ignore[attr-defined]


def event(content: Any, name: str | None = None) -> str:
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {json.dumps(content, ensure_ascii=False)}\n\n"


def response(events: AsyncIterator[str], headers: dict[str, str]) -> StreamingResponse:
    headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no", **headers}  # proxies shall pass on each event
    return StreamingResponse(events, media_type="text/event-stream", headers=headers)


async def stream(request: Request) -> StreamingResponse:
    """Events `text` with `{"text": ...}`, and at the end one event `done` with the whole answer."""
    model = await request.app.state.store.model(request.path_params["name"])
    request.state.model = model
    if not streams(model):
        raise Refusal(404, f"{model.name} does not stream; ask /models/{model.name}/predict")
    json_only(request)
    asked = validated(model.request.model_validate_json, await request.body())

    async def events() -> AsyncIterator[str]:
        async for piece in pieces(model.predictor.stream(asked)):
            if isinstance(piece, BaseModel):
                yield event(piece.model_dump(), "done")
            else:
                yield event({"text": piece}, "text")

    return response(events(), model.headers)


def documentation(model: Model) -> APIRoute:
    example: Any = {"summary": "a request that this model is known to answer", "value": model.example[0]}
    Example = Body(openapi_examples={"example": example})

    def endpoint(request: Annotated[model.request, Example]) -> None:  # type: ignore[name-defined]
        """Events `text` with `{"text": ...}`, and at the end one event `done` with the whole answer."""

    return APIRoute(
        f"/models/{model.name}/stream",
        endpoint,
        methods=["POST"],
        operation_id=f"stream_{model.name}",
        tags=[model.name],
        response_class=StreamingResponse,
        responses=documented(400, 413, 415, 422, 500, 503)
        | {200: {"content": {"text/event-stream": {}}, "description": "events `text`, at the end one event `done`"}},
    )
