"""OpenAI's completions and models under /v1, of every model here that writes text. Its client works with them."""

import json
import time
import uuid
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Request, Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from serving import problems, stream
from serving.auth import require
from serving.models import Model
from serving.problems import Refusal, documented, json_only
from serving.store import Store

MAX_PROMPTS = 64

Prompt = Annotated[str, Field(max_length=100_000)]
One = Annotated[int, Field(ge=1, le=1)]
Zero = Annotated[float, Field(ge=0, le=0)]


class StreamOptions(BaseModel):
    include_usage: bool = False
    include_obfuscation: bool = False


class Completion(BaseModel):
    """OpenAI's request: null is the default. What we have not (best_of, penalties, ...) may only say that it is off."""

    model_config = ConfigDict(extra="forbid")

    model: str = Field(description="one of GET /v1/models")
    prompt: Prompt | Annotated[list[Prompt], Field(min_length=1, max_length=MAX_PROMPTS)]
    max_tokens: int | None = Field(default=None, description="16 where it is not said")
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    stop: str | list[str] | None = None
    logprobs: int | None = Field(default=None, ge=0, le=5, description="and of so many likeliest tokens")
    echo: bool | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: One | None = Field(default=None, description="one answer per prompt")
    best_of: One | None = None
    presence_penalty: Zero | None = None
    frequency_penalty: Zero | None = None
    logit_bias: Annotated[dict[str, float], Field(max_length=0)] | None = None
    user: str | None = Field(default=None, description="is not kept")

    @model_validator(mode="after")
    def _whole(self) -> "Completion":
        if self.stream and self.logprobs is not None:
            raise ValueError("logprobs and stream do not go together here")
        return self

    def ours(self, prompt: str) -> dict[str, Any]:
        stop = [self.stop] if isinstance(self.stop, str) else self.stop or []
        given: dict[str, Any] = {"max_tokens": 16, "temperature": 1.0}  # OpenAI's defaults, not ours
        given.update(self.model_dump(exclude_none=True))
        same: dict[str, Any] = {
            name: given[name] for name in ("max_tokens", "temperature", "top_p", "seed", "echo") if name in given
        }
        logprobs = {"logprobs": True, "top_logprobs": self.logprobs} if self.logprobs is not None else {}
        return {**same, **logprobs, "prompt": prompt, "stop": stop}


def add_completions(app: FastAPI, store: Store) -> None:
    def writers() -> dict[str, Model]:
        return {model.name: model for model in store.ready() if stream.streams(model)}

    async def writer(name: str) -> Model:
        if name not in store.places:
            raise problems.unknown("model that writes text", name, writers())
        model = await store.model(name)
        if not stream.streams(model):
            raise problems.unknown("model that writes text", name, writers())
        return model

    @app.get("/v1/models", tags=["openai"])
    async def listed() -> dict[str, Any]:
        """The models that write text."""
        return {"object": "list", "data": [listing(model) for model in writers().values()]}

    @app.get("/v1/models/{name}", tags=["openai"], responses=documented(404))
    async def one(name: str) -> dict[str, Any]:
        return listing(await writer(name))

    @app.post(
        "/v1/completions",
        tags=["openai"],
        dependencies=[Depends(json_only)],
        responses=documented(400, 404, 413, 415, 422, 500),
    )
    async def completions(asked: Completion, request: Request) -> Response:
        """Text completion as OpenAI's API has it; `stream` sends server-sent events."""
        require(request.scope, asked.model)
        model = await writer(asked.model)
        request.state.model = model
        prompts = [asked.prompt] if isinstance(asked.prompt, str) else asked.prompt
        requests = [validated(model, asked.ours(prompt)) for prompt in prompts]
        head = {
            "id": f"cmpl-{uuid.uuid4().hex}",
            "object": "text_completion",
            "created": int(time.time()),
            "model": asked.model,
        }
        if asked.stream:
            counted = asked.stream_options is not None and asked.stream_options.include_usage
            return stream.response(events(model, requests, head, counted), model.headers)
        outputs = await model.predict(requests)
        choices = [choice(index, output) for index, output in enumerate(outputs)]
        content = {**head, "choices": choices, "usage": total([output["usage"] for output in outputs])}
        return Response(json.dumps(content, ensure_ascii=False), media_type="application/json", headers=model.headers)


def listing(model: Model) -> dict[str, Any]:
    created = datetime.fromisoformat(model.manifest.created)
    return {"id": model.name, "object": "model", "created": int(created.timestamp()), "owned_by": "roadmap"}


def validated(model: Model, fields: dict[str, Any]) -> BaseModel:
    try:
        return model.request.model_validate(fields)
    except ValidationError as error:
        found = error.errors()[0]
        said = found["msg"].removeprefix("Input ").removeprefix("Value error, ")
        where = "/".join(map(str, found["loc"]))
        errors = [{"pointer": problems.pointer(found["loc"]), "detail": said}]
        raise Refusal(422, f"{where}: {said}", errors=errors) from None


def choice(index: int, output: dict[str, Any]) -> dict[str, Any]:
    shown = {name: output[name] for name in ("text", "finish_reason", "logprobs")}
    return {"index": index, **shown}


def total(usages: list[dict[str, int]]) -> dict[str, int]:
    return {key: sum(usage[key] for usage in usages) for key in usages[0]}


async def events(model: Model, requests: list[BaseModel], head: dict[str, Any], counted: bool) -> AsyncIterator[str]:
    """The prompts' answers one after the other, a chunk per piece of text; then [DONE], as OpenAI says it."""
    usages = []
    for index, request in enumerate(requests):
        async for piece in stream.pieces(model.predictor.stream(request)):  # type: ignore[attr-defined]
            done = isinstance(piece, BaseModel)
            said = {"text": "" if done else piece, "finish_reason": piece.finish_reason if done else None}
            yield stream.event({**head, "choices": [{"index": index, "logprobs": None, **said}]})
            if done:
                usages.append(piece.usage.model_dump())
    if counted:
        yield stream.event({**head, "choices": [], "usage": total(usages)})
    yield "data: [DONE]\n\n"
