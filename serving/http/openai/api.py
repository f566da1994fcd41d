"""OpenAI's API under /v1, of every model here that writes text or embeds it. Its clients work with them unchanged."""

import time
import uuid
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import Depends, FastAPI
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from serving.errors import Refusal, pointer, unknown
from serving.http.problems import documented, json_only
from serving.http.stream import event
from serving.runtime.models import Model
from serving.runtime.store import ModelStore

One = Annotated[int, Field(ge=1, le=1)]
Zero = Annotated[float, Field(ge=0, le=0)]
STREAMED: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/event-stream": {}}, "description": "with `stream`: chunks, at the end [DONE]"}
}


class Usage(BaseModel):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class ListedModel(BaseModel):
    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "roadmap"


class ModelList(BaseModel):
    object: Literal["list"] = "list"
    data: list[ListedModel]


class StreamOptions(BaseModel):
    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class Sampled(BaseModel):
    """What completions and chats share: null is the default. What we have not may only say that it is off."""

    model_config = ConfigDict(extra="forbid")

    model: str = Field(description="one of GET /v1/models")
    max_tokens: int | None = None
    temperature: float | None = Field(default=None, description="1 where it is not said")
    top_p: float | None = None
    seed: int | None = None
    stop: str | Annotated[list[str], Field(max_length=4)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: One | None = Field(default=None, description="one answer per prompt")
    presence_penalty: Zero | None = None
    frequency_penalty: Zero | None = None
    logit_bias: Annotated[dict[str, float], Field(max_length=0)] | None = None
    user: str | None = Field(default=None, description="is not kept")

    @property
    def counted(self) -> bool:
        """Whether the stream ends with the tokens' number."""
        return self.stream_options is not None and bool(self.stream_options.include_usage)

    def shared(self, max_tokens: int) -> dict[str, Any]:
        """These fields as our models' requests have them."""
        given = {"max_tokens": self.max_tokens, "top_p": self.top_p, "seed": self.seed}
        stop = [self.stop] if isinstance(self.stop, str) else self.stop or []
        defaults = {"max_tokens": max_tokens, "temperature": 1.0 if self.temperature is None else self.temperature}
        return {**defaults, **{name: value for name, value in given.items() if value is not None}, "stop": stop}


def add_models(app: FastAPI, store: ModelStore) -> None:
    """/v1/models and /v1/models/<name>."""

    @app.get("/v1/models", tags=["openai"])
    async def listed() -> ModelList:
        """The models that write text or embed it."""
        return ModelList(data=[listing(model) for model in able(store, speaks)])

    @app.get("/v1/models/{name}", tags=["openai"], responses=documented(404, 503))
    async def one(name: str) -> ListedModel:
        return listing(await chosen(store, name, speaks, "writes or embeds text"))


def post(app: FastAPI, path: str, answer: type[BaseModel], streams: bool = True) -> Any:
    """The decorator of a route that takes JSON."""
    return app.post(
        path,
        tags=["openai"],
        dependencies=[Depends(json_only)],
        response_model=answer,
        responses=documented(400, 404, 413, 415, 422, 500, 503, 504) | (STREAMED if streams else {}),
    )


def speaks(model: Model) -> bool:
    """Whether one of OpenAI's addresses is for this model."""
    return model.writes or model.embeds is not None


def able(store: ModelStore, can: Callable[[Model], bool]) -> list[Model]:
    """The loaded models that can do this."""
    return [model for model in store.ready() if can(model)]


async def chosen(store: ModelStore, name: str, can: Callable[[Model], bool], does: str) -> Model:
    """The model of this name.

    Raises:
        Refusal: 404 where there is none, or it can't do this; 503 where it is refused.
    """
    model = await store.model(name) if name in store.places else None
    if model is None or not can(model):
        raise unknown(f"model that {does}", name, [model.name for model in able(store, can)])
    return model


def validated(model: Model, fields: dict[str, Any], prompt: str = "prompt") -> BaseModel:
    """The model's own request. prompt: where the caller wrote it"""
    try:
        return model.request.model_validate(fields)
    except ValidationError as error:
        found = error.errors()[0]
        said = found["msg"].removeprefix("Input ").removeprefix("Value error, ")
        place = [prompt if part == "prompt" else part for part in found["loc"]]
        errors = [{"pointer": pointer(place), "detail": said}]
        raise Refusal(422, f"{'/'.join(map(str, place))}: {said}", errors=errors) from None


def head(kind: str, key: str, model: Model) -> dict[str, Any]:
    """What all answers begin with. key: the prefix of OpenAI's ids"""
    return {
        "id": f"{key}-{uuid.uuid4().hex}",
        "object": kind,
        "created": int(time.time()),
        "model": model.name,
        "system_fingerprint": model.version,
    }


def listing(model: Model) -> ListedModel:
    return ListedModel(id=model.name, created=int(datetime.fromisoformat(model.manifest.created).timestamp()))


def total(usages: Sequence[dict[str, int]]) -> dict[str, int]:
    """The sum of OpenAI's usages."""
    return {key: sum(usage[key] for usage in usages) for key in usages[0]}


def failed(status: int, detail: str) -> str:
    """An event that OpenAI's clients raise as an error."""
    return event({"error": {"message": detail, "type": "server_error", "code": str(status)}})
