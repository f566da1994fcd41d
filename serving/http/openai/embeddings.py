"""POST /v1/embeddings: texts as vectors, of the models that have them."""

import asyncio
import base64
import json
from typing import Annotated, Any, Literal

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
        default=None, description="base64: of little-endian float32, what OpenAI's own clients ask for"
    )
    dimensions: int | None = Field(
        default=None, ge=1, description="may only say how many there are: none can be spared"
    )

    def texts(self, model: Model) -> list[str]:
        """Raises: Refusal: 422, token ids that the model doesn't know."""
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
    return model.embeds is not None


def add_embeddings(app: FastAPI, store: ModelStore) -> None:
    """POST /v1/embeddings."""

    @openai.post(app, "/v1/embeddings", EmbeddingResponse, "Create embeddings", streams=False)
    async def embeddings(request: Request, asked: Annotated[EmbeddingRequest, Body()]) -> Response:
        """Returns a vector of unit length for each text."""
        require(request.scope, asked.model)
        model = await openai.chosen(store, asked.model, embeds, "embeds text")
        vectors, tokens = await embedded(request, model, asked.texts(model))
        if asked.dimensions not in (None, vectors.shape[1]):
            said = f"{model.name} has {vectors.shape[1]}, and every one of them counts"
            raise openai.refused(("dimensions",), said)
        encode = encoded if asked.encoding_format == "base64" else floats
        data = [{"object": "embedding", "index": n, "embedding": encode(row)} for n, row in enumerate(vectors)]
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        content = {"object": "list", "data": data, "model": model.name, "usage": usage}
        return Response(json.dumps(content), media_type="application/json", headers=model.headers)


async def embedded(request: Request, model: Model, texts: list[str]) -> Any:
    """float32 [texts, d], and the tokens read.

    Raises:
        Refusal: 422 a text that can't be read, 503 too much waits, 504 too late.
    """
    authorise(request, model, len(texts))
    seconds = timeout_of(request)
    try:
        return await asyncio.wait_for(model.embed(texts), seconds)
    except ValueError as error:
        raise openai.refused(("input", *unreadable(model, texts)), str(error)) from None
    except TimeoutError:
        raise Refusal(504, f"{model.name} has no answer after {seconds:g} s; send fewer texts") from None


def unreadable(model: Model, texts: list[str]) -> Place:
    """The number of the first text that the model can't take as a prompt either, where there are several."""
    for number, text in enumerate(texts if len(texts) > 1 else []):
        try:
            openai.validated(model, {"prompt": text}, {})
        except Refusal:
            return (number,)
    return ()


def encoded(row: Any) -> str:
    """Base64 of little-endian float32, as OpenAI has it."""
    return base64.b64encode(row.astype("<f4").tobytes()).decode()


def floats(row: Any) -> list[float]:
    return [float(value) for value in row]
