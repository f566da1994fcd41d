"""OpenAI's API under /v1, for all models that generate or embed text. OpenAI clients work unchanged."""

import time
import uuid
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import Depends, FastAPI
from fastapi.types import DecoratedCallable
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from roadmap.inference.language.writing import MAX_TOKENS
from roadmap.io.json import JsonObject
from serving.errors import Place, Refusal, describe, in_body, pointer, unknown
from serving.http.media import json_only
from serving.http.openapi import ModelName
from serving.http.problems import documented
from serving.http.stream import event
from serving.runtime.models import Model
from serving.runtime.store import ModelStore

TokenIds = Annotated[list[Annotated[int, Field(ge=0, strict=True)]], Field(min_length=1, max_length=100_000)]
STREAMED: dict[int | str, JsonObject] = {
    200: {
        "content": {"text/event-stream": {}},
        "description": "JSON; with `stream`, chunks and finally [DONE]",
    }
}


class Usage(BaseModel):
    """Tokens read and generated."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class ListedModel(BaseModel):
    """A model that generates or embeds text."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str = "roadmap"


class ModelList(BaseModel):
    """The models that generate or embed text."""

    object: Literal["list"] = "list"
    data: list[ListedModel]


class StreamOptions(BaseModel):
    """Options of a streamed response."""

    model_config = ConfigDict(extra="forbid")

    include_usage: bool | None = None
    include_obfuscation: bool | None = Field(default=None, description="accepted; chunks are never padded")
    continuous_usage_stats: Literal[False] | None = Field(default=None, description="usage comes only at the end")


class RequestBase(BaseModel):
    """Fields of all requests. null means the default for every field."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())

    model: str = Field(description="name of a model; GET /v1/models lists them")
    request_id: Annotated[str, Field(min_length=1, max_length=100)] | None = Field(
        default=None, description="becomes part of the response id"
    )

    @model_validator(mode="before")
    @classmethod
    def _said(cls, body: Any) -> Any:
        """Drops unknown fields that are null."""
        if not isinstance(body, dict):
            return body
        known = {field.alias or name for name, field in cls.model_fields.items()}
        return {name: value for name, value in body.items() if value is not None or name in known}


class GenerationRequest(RequestBase):
    """Fields of completions and chats."""

    max_tokens: int | None = Field(default=None, description="most tokens to generate; -1: the model's maximum")
    n_predict: int | None = Field(default=None, description="alias of max_tokens (llama.cpp)")
    temperature: float | None = Field(default=None, description="sampling temperature; default 1")
    top_p: float | None = None
    top_k: int | None = Field(default=None, description="sample from this many likeliest tokens; 0 or -1: all")
    repetition_penalty: float | None = None
    repeat_penalty: float | None = Field(default=None, description="alias of repetition_penalty (llama.cpp)")
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = Field(default=None, description="random seed; -1: none")
    stop: str | list[str] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None

    @property
    def wants_usage(self) -> bool:
        """Whether the stream ends with the token counts."""
        return self.stream_options is not None and bool(self.stream_options.include_usage)

    def sampling_fields(self, max_tokens: int) -> JsonObject:
        """These fields in the form of our models' requests. max_tokens: the default"""
        given = {field: getattr(self, name) for field, name in self.names_used().items()}
        if given.get("max_tokens") == -1:
            given["max_tokens"] = MAX_TOKENS
        if given.get("top_k") == -1:
            given["top_k"] = 0
        if (seed := given.get("seed")) is not None and seed < 0:
            given["seed"] = None if seed == -1 else seed + 2**63
        stop = [self.stop] if isinstance(self.stop, str) else self.stop or []
        defaults = {"max_tokens": max_tokens, "temperature": 1.0, "stop": [text for text in stop if text]}
        return defaults | {name: value for name, value in given.items() if value is not None and name != "stop"}

    def names_used(self) -> dict[str, str]:
        """Our fields that the caller has set -> the name used."""
        aliases = {"max_tokens": ("n_predict", "max_completion_tokens"), "repetition_penalty": ("repeat_penalty",)}
        names: dict[str, str] = {}
        for field in ("max_tokens", "temperature", "top_p", "top_k", "repetition_penalty", "seed", "stop"):
            known = (*aliases.get(field, ()), field)
            used = [name for name in known if getattr(self, name, None) is not None]
            names |= {field: used[0]} if used else {}
        return names


def add_models(app: FastAPI, store: ModelStore) -> None:
    """/v1/models and /v1/models/<name>."""

    @app.get("/v1/models", tags=["openai"], summary="List models")
    async def v1_list_models() -> ModelList:
        """The models that generate or embed text."""
        return ModelList(data=[model_object(model) for model in models_that(store, serves_openai)])

    @app.get("/v1/models/{name}", tags=["openai"], summary="Retrieve a model", responses=documented(404, 503))
    async def v1_retrieve_model(name: ModelName) -> ListedModel:
        """A model that generates or embeds text."""
        return model_object(await find_model(store, name, serves_openai, "writes or embeds text"))


def post(
    app: FastAPI, path: str, answer: type[BaseModel], summary: str, streams: bool = True
) -> Callable[[DecoratedCallable], DecoratedCallable]:
    """The decorator of a route that takes JSON."""
    return app.post(
        path,
        tags=["openai"],
        summary=summary,
        dependencies=[Depends(json_only)],
        response_model=answer,
        responses=documented(400, 404, 413, 415, 422, 500, 503, 504) | (STREAMED if streams else {}),
    )


def serves_openai(model: Model) -> bool:
    """Whether an OpenAI endpoint supports this model."""
    return model.generates_text or model.embeds is not None


def models_that(store: ModelStore, can: Callable[[Model], bool]) -> list[Model]:
    """The loaded models that satisfy `can`."""
    return [model for model in store.ready() if can(model)]


async def find_model(store: ModelStore, name: str, can: Callable[[Model], bool], does: str) -> Model:
    """The model of this name.

    Raises:
        Refusal: 404 if there is none or it doesn't satisfy `can`; 503 if it is refused.
    """
    model = await store.model(name) if name in store.slots else None
    if model is None or not can(model):
        raise unknown(f"model that {does}", name, [model.name for model in models_that(store, can)])
    return model


def validated(model: Model, fields: JsonObject, places: dict[str, Place]) -> BaseModel:
    """The model's own request.

    Args:
        places: field -> its place in the body, if it has another name there.

    Raises:
        Refusal: 422, pointing at the caller's own field.
    """
    try:
        return model.request.model_validate(fields)
    except ValidationError as error:
        found: Any = in_body(error.errors(include_url=False), fields)[0]
        field, *rest = found["loc"]
        place = places.get(field, (field,))
        if field == "stop" and place == ("stop",):
            place = ("stop", *rest)
        raise invalid(place, describe(found)) from None


def invalid(place: Place, detail: str) -> Refusal:
    """A 422 that points at one place of the body."""
    return Refusal(
        422, f"{'/'.join(map(str, place))}: {detail}", errors=[{"pointer": pointer(place), "detail": detail}]
    )


def as_text(model: Model, given: str | list[int], place: Place) -> str:
    """The text of a prompt, which may be token ids.

    Raises:
        Refusal: 422, the ids are unknown to this model's tokenizer.
    """
    if isinstance(given, str):
        return given
    if model.tokenizes is None:
        raise invalid(place, f"token ids: {model.name} takes text alone")
    try:
        return model.tokenizes.text_of(given)
    except ValueError as error:
        raise invalid(place, str(error)) from None


def response_head(kind: str, key: str, model: Model, body: RequestBase) -> JsonObject:
    """The common fields of all responses. key: the prefix of OpenAI's ids"""
    return {
        "id": f"{key}-{body.request_id or uuid.uuid4().hex}",
        "object": kind,
        "created": int(time.time()),
        "model": model.name,
        "system_fingerprint": model.version,
    }


def model_object(model: Model) -> ListedModel:
    """The model as OpenAI lists one; `created` in seconds since 1970."""
    return ListedModel(id=model.name, created=int(datetime.fromisoformat(model.manifest.created).timestamp()))


def total_usage(usages: Sequence[dict[str, int]]) -> dict[str, int]:
    """The sum of OpenAI's usages."""
    return {key: sum(usage[key] for usage in usages) for key in usages[0]}


def error_event(status: int, detail: str) -> str:
    """An event that OpenAI's clients raise as an error."""
    return event({"error": {"message": detail, "type": "server_error", "code": str(status)}})
