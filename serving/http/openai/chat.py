"""POST /v1/chat/completions: OpenAI's conversations, written on as the model's own template says."""

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
from serving.runtime.models import Model
from serving.runtime.store import ModelStore

MAX_TOKENS = 256  # where it is not said
MAX_MESSAGES = 256


class ContentPart(BaseModel):
    type: Literal["text"]
    text: str


class Message(BaseModel):
    """Other members than these two are not read, so that an answer can be sent back as it came."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[ContentPart]

    @property
    def text(self) -> str:
        return self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)


class Format(BaseModel):
    type: Literal["text"]


class Chat(openai.Sampled):
    messages: Annotated[list[Message], Field(min_length=1, max_length=MAX_MESSAGES)]
    max_tokens: int | None = Field(default=None, description=f"{MAX_TOKENS} where it is not said")
    max_completion_tokens: int | None = Field(default=None, description="the newer name of max_tokens")
    logprobs: bool | None = None
    top_logprobs: int | None = Field(default=None, ge=0, le=20)
    response_format: Format | None = None
    store: Literal[False] | None = None

    @model_validator(mode="after")
    def _whole(self) -> "Chat":
        if self.stream and self.logprobs:
            raise ValueError("logprobs and stream do not go together here")
        if self.top_logprobs and not self.logprobs:
            raise ValueError("top_logprobs needs logprobs: true")
        return self

    def ours(self, model: Model) -> dict[str, Any]:
        """The fields of the model's own request, its prompt written by the model's template."""
        said = [("system" if one.role == "developer" else one.role, one.text) for one in self.messages]
        assert model.chats is not None
        prompt, ends = model.chats.chat(said)
        given = self.shared(max_tokens=MAX_TOKENS)
        if self.max_completion_tokens is not None:
            given["max_tokens"] = self.max_completion_tokens
        logprobs = {"logprobs": bool(self.logprobs), "top_logprobs": self.top_logprobs or 0}
        return {**given, **logprobs, "prompt": prompt, "stop": [*given["stop"], *ends]}


class Token(BaseModel):
    token: str
    bytes: list[int]
    logprob: float


class Chosen(Token):
    top_logprobs: list[Token]


class ChatLogprobs(BaseModel):
    content: list[Chosen]
    refusal: None = None


class AssistantMessage(BaseModel):
    role: Literal["assistant"]
    content: str
    refusal: None = None


class ChatChoice(BaseModel):
    index: int
    message: AssistantMessage
    finish_reason: Literal["stop", "length"]
    logprobs: ChatLogprobs | None


class ChatCompleted(BaseModel):
    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    system_fingerprint: str = Field(description="the model's version")
    choices: list[ChatChoice]
    usage: openai.Usage


def chats(model: Model) -> bool:
    return model.writes and model.chats is not None


def add_chat(app: FastAPI, store: ModelStore) -> None:
    """POST /v1/chat/completions."""

    @openai.post(app, "/v1/chat/completions", ChatCompleted)
    async def chat_completions(request: Request, asked: Annotated[Chat, Body()]) -> Response:
        """A conversation's next message as OpenAI's API has it; `stream` sends server-sent events."""
        require(request.scope, asked.model)
        model = await openai.chosen(store, asked.model, chats, "chats")
        ours = openai.validated(model, asked.ours(model), prompt="messages")
        if asked.stream:
            head = openai.head("chat.completion.chunk", "chatcmpl", model)
            pieces = stream.answers(request, model, [ours])
            return await stream.begun(events(pieces, head, asked.counted), model.headers, openai.failed)
        (output,) = await answer(request, model, [ours])
        message = {"role": "assistant", "content": output["text"], "refusal": None}
        choice = {"index": 0, "message": message, "finish_reason": output["finish_reason"]}
        content = {
            **openai.head("chat.completion", "chatcmpl", model),
            "choices": [{**choice, "logprobs": logprobs(output["logprobs"])}],
            "usage": output["usage"],
        }
        return Response(json.dumps(content, ensure_ascii=False), media_type="application/json", headers=model.headers)


def logprobs(ours: dict[str, Any] | None) -> dict[str, Any] | None:
    """Ours as chat completions have them."""
    if ours is None:
        return None
    likeliest = ours["top_logprobs"] or [{}] * len(ours["tokens"])
    rows = zip(ours["tokens"], ours["token_logprobs"], likeliest, strict=True)
    content = [{**said(word, own), "top_logprobs": [said(*one) for one in top.items()]} for word, own, top in rows]
    return {"content": content, "refusal": None}


def said(token: str, logprob: float) -> dict[str, Any]:
    return {"token": token, "logprob": logprob, "bytes": list(token.encode())}


async def events(pieces: Any, head: dict[str, Any], counted: bool) -> AsyncGenerator[str, None]:
    """The role, a chunk per piece of text, why it ended; then [DONE]."""

    def chunk(delta: dict[str, Any], reason: str | None = None) -> str:
        choice = {"index": 0, "delta": delta, "finish_reason": reason, "logprobs": None}
        return stream.event({**head, "choices": [choice]})

    started = False
    async with aclosing(pieces):
        async for _, piece in pieces:
            if not started:
                yield chunk({"role": "assistant", "content": ""})
                started = True
            if isinstance(piece, str):
                yield chunk({"content": piece})
                continue
            yield chunk({}, piece.finish_reason)
            if counted:
                yield stream.event({**head, "choices": [], "usage": piece.usage.model_dump()})
    yield "data: [DONE]\n\n"
