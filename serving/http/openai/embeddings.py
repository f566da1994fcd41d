"""POST /v1/embeddings: texts as vectors."""

import asyncio
import base64
import json
from typing import TYPE_CHECKING, Annotated, Literal

from fastapi import Body, FastAPI
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response

from serving.auth.callers import require
from serving.errors import Place, Refusal
from serving.http.answering import authorise, timeout_of
from serving.http.openai import api as openai
from serving.http.openai.fields import EMBEDDING, lacking
from serving.runtime.models import Model
from serving.runtime.store import ModelStore

if TYPE_CHECKING:
    import numpy as np

MAX_TEXTS = 256

Text = Annotated[str, Field(min_length=1, max_length=100_000)]


@lacking(EMBEDDING)
class EmbeddingRequest(openai.RequestBase):
    """Texts to be embedded."""

    input: (
        Text
        | Annotated[list[Text], Field(min_length=1, max_length=MAX_TEXTS)]
        | openai.TokenIds
        | Annotated[list[openai.TokenIds], Field(min_length=1, max_length=MAX_TEXTS)]
    )
    encoding_format: Literal["float", "base64"] | None = Field(
        default=None, description="base64: little-endian float32, the default of OpenAI's clients"
    )
    dimensions: int | None = Field(default=None, ge=1, description="must be the model's own number of dimensions")

    def texts(self, model: Model) -> list[str]:
        """Raises: Refusal: 422, unknown token ids."""
        if isinstance(self.input, str):
            return [self.input]
        if isinstance(self.input[0], int):
            return [openai.as_text(model, self.input, ("input",))]
        return [openai.as_text(model, one, ("input", number)) for number, one in enumerate(self.input)]  # type: ignore[arg-type]


class EmbeddingObject(BaseModel):
    """The vector of one text."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str


class EmbeddingUsage(BaseModel):
    """Tokens read."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingResponse(BaseModel):
    """One vector per text, in the same order."""

    object: Literal["list"] = "list"
    data: list[EmbeddingObject]
    model: str
    usage: EmbeddingUsage


def embeds(model: Model) -> bool:
    """Whether it embeds text."""
    return model.embeds is not None


def add_embeddings(app: FastAPI, store: ModelStore) -> None:
    """POST /v1/embeddings."""

    @openai.post(app, "/v1/embeddings", EmbeddingResponse, "Create embeddings", streams=False)
    async def embeddings(request: Request, body: Annotated[EmbeddingRequest, Body()]) -> Response:
        """Returns a vector of unit length for each text."""
        require(request.scope, body.model)
        model = await openai.find_model(store, body.model, embeds, "embeds text")
        vectors, tokens = await embedded(request, model, body.texts(model))
        if body.dimensions not in (None, vectors.shape[1]):
            detail = f"expected {vectors.shape[1]}, the dimensions of {model.name}; they cannot be reduced"
            raise openai.invalid(("dimensions",), detail)
        encode = encoded if body.encoding_format == "base64" else floats
        data = [{"object": "embedding", "index": n, "embedding": encode(row)} for n, row in enumerate(vectors)]
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        content = {"object": "list", "data": data, "model": model.name, "usage": usage}
        return Response(json.dumps(content), media_type="application/json", headers=model.headers)


async def embedded(request: Request, model: Model, texts: list[str]) -> tuple["np.ndarray", int]:
    """float32 [texts, d], and the number of tokens read.

    Raises:
        Refusal: 422 an invalid text, 503 a full queue, 504 a timeout.
    """
    authorise(request, model, len(texts))
    seconds = timeout_of(request)
    try:
        return await asyncio.wait_for(model.embed(texts), seconds)
    except ValueError as error:
        raise openai.invalid(("input", *unreadable(model, texts)), str(error)) from None
    except TimeoutError:
        raise Refusal(504, f"{model.name} has no answer after {seconds:g} s; send fewer texts") from None


def unreadable(model: Model, texts: list[str]) -> Place:
    """The index of the first text that the model rejects as a prompt too, if there are several."""
    for number, text in enumerate(texts if len(texts) > 1 else []):
        try:
            openai.validated(model, {"prompt": text}, {})
        except Refusal:
            return (number,)
    return ()


def encoded(row: "np.ndarray") -> str:
    """A vector [d] as base64 of little-endian float32, as in OpenAI's API."""
    return base64.b64encode(row.astype("<f4").tobytes()).decode()


def floats(row: "np.ndarray") -> list[float]:
    """A vector [d] as numbers."""
    return [float(value) for value in row]
