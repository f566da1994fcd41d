"""POST /v1/completions: OpenAI's text completion."""

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Any, Literal

from fastapi import Body, FastAPI
from pydantic import BaseModel, Field, ValidationInfo, field_validator
from starlette.requests import Request
from starlette.responses import Response

from roadmap.bundle import ScoredText
from roadmap.io.json import JsonObject
from serving.auth.callers import require
from serving.errors import Place
from serving.http import stream
from serving.http.answering import answer
from serving.http.openai import api as openai
from serving.http.openai.fields import COMPLETION, SAMPLING, lacking
from serving.runtime.generation import Piece
from serving.runtime.models import Model
from serving.runtime.store import ModelStore

MAX_PROMPTS = 64

Prompt = Annotated[str, Field(max_length=100_000)]


@lacking(SAMPLING, COMPLETION)
class CompletionRequest(openai.GenerationRequest):
    """Prompts to be continued."""

    prompt: (
        Prompt
        | Annotated[list[Prompt], Field(min_length=1, max_length=MAX_PROMPTS)]
        | openai.TokenIds
        | Annotated[list[openai.TokenIds], Field(min_length=1, max_length=MAX_PROMPTS)]
    )
    max_tokens: int | None = Field(default=None, description="default 16; -1: the model's maximum")
    logprobs: Annotated[int, Field(ge=0, le=5)] | Literal[False] | None = Field(
        default=None, description="log-probabilities, with this many likeliest tokens"
    )
    n_probs: int | None = Field(default=None, ge=0, le=5, description="alias of logprobs (llama.cpp); 0: none")
    echo: bool | None = None

    @field_validator("logprobs", "n_probs")
    @classmethod
    def _requested(cls, logprobs: int | None, info: ValidationInfo) -> int | None:
        return None if logprobs is False or (info.field_name == "n_probs" and not logprobs) else logprobs

    @field_validator("echo")
    @classmethod
    def _not_scored_in_streams(cls, echo: bool | None, info: ValidationInfo) -> bool | None:
        scored = info.data.get("logprobs") is not None or info.data.get("n_probs") is not None
        if echo and scored and info.data.get("stream"):
            raise ValueError("echo, logprobs and stream do not go together here")
        return echo

    def to_native(self, model: Model) -> list[BaseModel]:
        """The model's own request for each of the prompts.

        Raises:
            Refusal: 422.
        """
        shared = {**self.sampling_fields(max_tokens=16), "echo": bool(self.echo)}
        places: dict[str, Place] = {field: (name,) for field, name in self.names_used().items()}
        likeliest = self.logprobs if self.logprobs is not None else self.n_probs
        if likeliest is not None:
            shared |= {"logprobs": True, "top_logprobs": likeliest}
            places["top_logprobs"] = ("logprobs",) if self.logprobs is not None else ("n_probs",)
        requests = []
        for place, prompt in self._prompts():
            fields = {**shared, "prompt": openai.as_text(model, prompt, place)}
            requests.append(openai.validated(model, fields, {**places, "prompt": place}))
        return requests

    def _prompts(self) -> list[tuple[Place, Any]]:
        """Texts or token ids, and the place of each in the body."""
        if isinstance(self.prompt, str) or isinstance(self.prompt[0], int):
            return [(("prompt",), self.prompt)]
        return [(("prompt", number), one) for number, one in enumerate(self.prompt)]


class CompletionLogprobs(BaseModel):
    """Log-probabilities of the generated tokens."""

    tokens: list[str]
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float] | None] | None
    text_offset: list[int]


class CompletionChoice(BaseModel):
    """The text for one prompt and why it ended."""

    index: int
    text: str
    finish_reason: Literal["stop", "length"] | None
    logprobs: CompletionLogprobs | None


class CompletionResponse(BaseModel):
    """One choice per prompt, in the same order."""

    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    system_fingerprint: str = Field(description="the model's version")
    choices: list[CompletionChoice]
    usage: openai.Usage


def add_completions(app: FastAPI, store: ModelStore) -> None:
    """POST /v1/completions."""

    @openai.post(app, "/v1/completions", CompletionResponse, "Create a completion")
    async def completions(request: Request, body: Annotated[CompletionRequest, Body()]) -> Response:
        """Continues each prompt. With `stream`, sends the text as server-sent events."""
        require(request.scope, body.model)
        model = await openai.find_model(store, body.model, lambda model: model.generates_text, "writes text")
        requests = body.to_native(model)
        head = openai.response_head("text_completion", "cmpl", model, body)
        if body.stream:
            pieces = stream.stream_outputs(request, model, requests)
            return await stream.start_stream(events(pieces, head, body.wants_usage), model.headers, openai.error_event)
        outputs = await answer(request, model, requests)
        choices = [choice(index, output) for index, output in enumerate(outputs)]
        content = {**head, "choices": choices, "usage": openai.total_usage([output["usage"] for output in outputs])}
        return Response(json.dumps(content, ensure_ascii=False), media_type="application/json", headers=model.headers)


def choice(index: int, output: JsonObject) -> JsonObject:
    """An output of the model as OpenAI's choice."""
    return {"index": index, **{name: output[name] for name in ("text", "finish_reason", "logprobs")}}


async def events(
    pieces: AsyncGenerator[tuple[int, Piece], None], head: JsonObject, wants_usage: bool
) -> AsyncGenerator[str, None]:
    """A chunk per piece of text, over all prompts; then OpenAI's [DONE]."""
    usages = []
    async with aclosing(pieces):
        async for index, piece in pieces:
            text, reason = (piece, None) if isinstance(piece, str) else ("", piece.finish_reason)
            scores = piece.logprobs.model_dump() if isinstance(piece, ScoredText) else None
            choices = [{"index": index, "text": text, "finish_reason": reason, "logprobs": scores}]
            yield stream.event({**head, "choices": choices})
            if reason and not isinstance(piece, str):
                usages.append(piece.usage.model_dump())
    if wants_usage:
        yield stream.event({**head, "choices": [], "usage": openai.total_usage(usages)})
    yield "data: [DONE]\n\n"
