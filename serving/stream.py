"""POST /models/<project>/stream: a generative model's answer as server-sent events, while it is being written."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any

from fastapi import Body, Depends, FastAPI
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from serving.models import Model
from serving.problems import documented, json_only

END: Any = object()


def streams(model: Model) -> bool:
    return not model.reason and hasattr(model.predictor, "stream")


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


def response(events: AsyncIterator[str]) -> StreamingResponse:
    headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}  # proxies shall pass on each event at once
    return StreamingResponse(events, media_type="text/event-stream", headers=headers)


def add_stream(app: FastAPI, model: Model) -> None:
    example: Any = {"summary": "a request that this model is known to answer", "value": model.example[0]}
    Example = Body(openapi_examples={"example": example})

    @app.post(
        f"/models/{model.name}/stream",
        operation_id=f"stream_{model.name}",
        tags=[model.name],
        dependencies=[Depends(json_only)],
        responses=documented(400, 413, 415, 422, 500)
        | {200: {"content": {"text/event-stream": {}}, "description": "events `text`, at the end one event `done`"}},
    )
    async def stream(request: Annotated[model.request, Example]) -> StreamingResponse:  # type: ignore[name-defined]
        """Events `text` with `{"text": ...}`, and at the end one event `done` with the whole answer."""

        async def events() -> AsyncIterator[str]:
            async for piece in pieces(model.predictor.stream(request)):  # type: ignore[attr-defined]
                if isinstance(piece, BaseModel):
                    yield event(piece.model_dump(), "done")
                else:
                    yield event({"text": piece}, "text")

        return response(events())
