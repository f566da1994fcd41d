"""POST /v1/completions: OpenAI's text completion."""

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Any, Literal

from fastapi import Body, FastAPI
from pydantic import BaseModel, Field, model_validator
from starlette.requests import Request
from starlette.responses import Response

from serving.auth.callers import require
from serving.http import stream
from serving.http.answering import answer
from serving.http.openai import api as openai
from serving.runtime.store import ModelStore

MAX_PROMPTS = 64

Prompt = Annotated[str, Field(max_length=100_000)]


class Completion(openai.Sampled):
    prompt: Prompt | Annotated[list[Prompt], Field(min_length=1, max_length=MAX_PROMPTS)]
    max_tokens: int | None = Field(default=None, description="16 where it is not said")
    logprobs: int | None = Field(default=None, ge=0, le=5, description="and of so many likeliest tokens")
    echo: bool | None = None
    best_of: openai.One | None = None

    @model_validator(mode="after")
    def _whole(self) -> "Completion":
        if self.stream and self.logprobs is not None:
            raise ValueError("logprobs and stream do not go together here")
        return self

    def ours(self, prompt: str) -> dict[str, Any]:
        """The fields of the model's own request for one of the prompts."""
        logprobs = {"logprobs": True, "top_logprobs": self.logprobs} if self.logprobs is not None else {}
        return {**self.shared(max_tokens=16), **logprobs, "prompt": prompt, "echo": bool(self.echo)}


class CompletionLogprobs(BaseModel):
    tokens: list[str]
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float] | None] | None
    text_offset: list[int]


class CompletionChoice(BaseModel):
    index: int
    text: str
    finish_reason: Literal["stop", "length"] | None
    logprobs: CompletionLogprobs | None


class Completed(BaseModel):
    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    system_fingerprint: str = Field(description="the model's version")
    choices: list[CompletionChoice]
    usage: openai.Usage


def add_completions(app: FastAPI, store: ModelStore) -> None:
    """POST /v1/completions."""

    @openai.post(app, "/v1/completions", Completed)
    async def completions(request: Request, asked: Annotated[Completion, Body()]) -> Response:
        """Text completion as OpenAI's API has it; `stream` sends server-sent events."""
        require(request.scope, asked.model)
        model = await openai.chosen(store, asked.model, lambda model: model.writes, "writes text")
        prompts = [asked.prompt] if isinstance(asked.prompt, str) else asked.prompt
        requests = [openai.validated(model, asked.ours(prompt)) for prompt in prompts]
        head = openai.head("text_completion", "cmpl", model)
        if asked.stream:
            pieces = stream.answers(request, model, requests)
            return await stream.begun(events(pieces, head, asked.counted), model.headers, openai.failed)
        outputs = await answer(request, model, requests)
        choices = [choice(index, output) for index, output in enumerate(outputs)]
        content = {**head, "choices": choices, "usage": openai.total([output["usage"] for output in outputs])}
        return Response(json.dumps(content, ensure_ascii=False), media_type="application/json", headers=model.headers)


def choice(index: int, output: dict[str, Any]) -> dict[str, Any]:
    return {"index": index, **{name: output[name] for name in ("text", "finish_reason", "logprobs")}}


async def events(pieces: Any, head: dict[str, Any], counted: bool) -> AsyncGenerator[str, None]:
    """A chunk per piece of text, of all prompts as they are written; then [DONE], as OpenAI says it."""
    usages = []
    async with aclosing(pieces):
        async for index, piece in pieces:
            text, reason = (piece, None) if isinstance(piece, str) else ("", piece.finish_reason)
            choices = [{"index": index, "text": text, "finish_reason": reason, "logprobs": None}]
            yield stream.event({**head, "choices": choices})
            if reason:
                usages.append(piece.usage.model_dump())
    if counted:
        yield stream.event({**head, "choices": [], "usage": openai.total(usages)})
    yield "data: [DONE]\n\n"
