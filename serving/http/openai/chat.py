"""POST /v1/chat/completions: OpenAI's chat completions, with the model's own chat template."""

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Any, Literal

from fastapi import Body, FastAPI
from pydantic import BaseModel, Field, ValidationInfo, field_validator, model_validator
from starlette.requests import Request
from starlette.responses import Response

from roadmap.io.json import JsonObject
from serving.auth.callers import require
from serving.errors import Place, Refusal
from serving.http import stream
from serving.http.answering import answer
from serving.http.openai import api as openai
from serving.http.openai.fields import CHAT, SAMPLING, lacking, off
from serving.runtime.generation import Piece
from serving.runtime.models import Model
from serving.runtime.store import ModelStore

MAX_TOKENS = 256  # default
MAX_MESSAGES = 256


class ContentPart(BaseModel):
    """A part of a message."""

    type: Literal["text", "refusal"]
    text: str = ""
    refusal: str = ""

    @field_validator("text", "refusal")
    @classmethod
    def _of_its_type(cls, text: str, info: ValidationInfo) -> str:
        return text if info.field_name == info.data.get("type") else ""


class Message(BaseModel):
    """A message of the conversation. Names, annotations and reasoning are ignored, so a response can be sent back
    unchanged."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[ContentPart] | None = Field(description="null only for assistants")
    refusal: str | None = Field(default=None, description="an assistant's refusal, instead of its content")
    tool_calls: Any = None
    function_call: Any = None
    audio: Any = None

    @field_validator("content")
    @classmethod
    def _said(cls, content: Any, info: ValidationInfo) -> Any:
        if content is None and info.data.get("role", "assistant") != "assistant":
            raise ValueError("should be a text or a list of parts; null is for assistants")
        return content

    @field_validator("tool_calls", "function_call", "audio")
    @classmethod
    def _off(cls, value: Any, info: ValidationInfo) -> Any:
        if not off(value):
            raise ValueError(f"messages are texts here; {info.field_name} can't be read")
        return value

    @model_validator(mode="before")
    @classmethod
    def _whole(cls, body: Any) -> Any:
        """A missing content is null for assistants, and an error for others."""
        return {"content": None, **body} if isinstance(body, dict) and body.get("role") == "assistant" else body

    @property
    def text(self) -> str:
        """The content, of its parts if it has some; else the refusal."""
        if self.content is None:
            return self.refusal or ""
        if isinstance(self.content, str):
            return self.content
        return "".join(part.text or part.refusal for part in self.content)


@lacking(SAMPLING, CHAT)
class ChatCompletionRequest(openai.GenerationRequest):
    """A conversation to be continued."""

    messages: Annotated[list[Message], Field(min_length=1, max_length=MAX_MESSAGES)]
    max_tokens: int | None = Field(default=None, description=f"default {MAX_TOKENS}; -1: the model's maximum")
    max_completion_tokens: int | None = Field(default=None, description="newer name of max_tokens")
    continue_final_message: bool | None = Field(default=None, description="continue the last assistant message")
    add_generation_prompt: bool | None = Field(default=None, description="true, or false with continue_final_message")
    logprobs: bool | None = None
    top_logprobs: int | None = Field(default=None, ge=0, le=20)

    @model_validator(mode="before")
    @classmethod
    def _no_tools(cls, body: Any) -> Any:
        """Drops tools that must not be called."""
        if not isinstance(body, dict):
            return body
        unused = {"tools": body.get("tool_choice") == "none", "functions": body.get("function_call") == "none"}
        return {name: value for name, value in body.items() if not unused.get(name)}

    @field_validator("logprobs")
    @classmethod
    def _not_streamed(cls, logprobs: bool | None, info: ValidationInfo) -> bool | None:
        if logprobs and info.data.get("stream"):
            raise ValueError("logprobs and stream do not go together here")
        return logprobs

    @field_validator("top_logprobs")
    @classmethod
    def _with_logprobs(cls, top: int | None, info: ValidationInfo) -> int | None:
        if top and not info.data.get("logprobs") and "logprobs" in info.data:
            raise ValueError("top_logprobs needs logprobs: true")
        return top

    @field_validator("continue_final_message")
    @classmethod
    def _begun(cls, continues: bool | None, info: ValidationInfo) -> bool | None:
        messages = info.data.get("messages")
        if continues and messages and messages[-1].role != "assistant":
            raise ValueError(f"the final message is of role {messages[-1].role}; only an assistant's is continued")
        return continues

    @field_validator("add_generation_prompt")
    @classmethod
    def _one_of_both(cls, adds: bool | None, info: ValidationInfo) -> bool | None:
        continues = bool(info.data.get("continue_final_message"))
        if adds is not None and adds == continues and "continue_final_message" in info.data:
            raise ValueError(f"found {str(adds).lower()}; expected the opposite of continue_final_message, or nothing")
        return adds

    def to_native(self, model: Model) -> BaseModel:
        """The model's own request, its prompt written by the model's template.

        Raises:
            Refusal: 422.
        """
        turns = [("system" if one.role == "developer" else one.role, one.text) for one in self.messages]
        assert model.chats is not None
        begun = turns.pop()[1] if self.continue_final_message else ""
        prompt, ends = model.chats.chat(turns)
        given = self.sampling_fields(max_tokens=MAX_TOKENS)
        logprobs = {"logprobs": bool(self.logprobs), "top_logprobs": self.top_logprobs or 0}
        fields = {**given, **logprobs, "stop": [*given["stop"], *ends]}
        places: dict[str, Place] = {field: (name,) for field, name in self.names_used().items()}
        try:
            return openai.validated(model, {**fields, "prompt": prompt + begun}, {**places, "prompt": ("messages",)})
        except Refusal as refusal:
            if refusal.members["errors"][0]["pointer"] == "#/messages":
                self._blame(model, fields, refusal.members["errors"][0]["detail"])
            raise

    def _blame(self, model: Model, fields: JsonObject, detail: str) -> None:
        """Raises: Refusal: 422 that points at the message that is rejected for the same reason on its own."""
        for number, message in enumerate(self.messages):
            place: Place = ("messages", number, "content")
            try:
                openai.validated(model, {**fields, "prompt": message.text or " "}, {"prompt": place})
            except Refusal as refusal:
                if refusal.members["errors"][0]["detail"] == detail:
                    raise


class TopLogprob(BaseModel):
    """A token and its log-probability."""

    token: str
    bytes: list[int]
    logprob: float


class TokenLogprob(TopLogprob):
    """A generated token, its log-probability and the likeliest alternatives."""

    top_logprobs: list[TopLogprob]


class ChatLogprobs(BaseModel):
    """Log-probabilities of the generated message."""

    content: list[TokenLogprob]
    refusal: None = None


class AssistantMessage(BaseModel):
    """The generated message."""

    role: Literal["assistant"]
    content: str
    refusal: None = None


class ChatChoice(BaseModel):
    """The generated message and why it ended."""

    index: int
    message: AssistantMessage
    finish_reason: Literal["stop", "length"]
    logprobs: ChatLogprobs | None


class ChatCompletionResponse(BaseModel):
    """The next message of the conversation."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    system_fingerprint: str = Field(description="the model's version")
    choices: list[ChatChoice]
    usage: openai.Usage


def chats(model: Model) -> bool:
    """Whether it continues conversations."""
    return model.generates_text and model.chats is not None


def add_chat(app: FastAPI, store: ModelStore) -> None:
    """POST /v1/chat/completions."""

    @openai.post(app, "/v1/chat/completions", ChatCompletionResponse, "Create a chat completion")
    async def chat_completions(request: Request, body: Annotated[ChatCompletionRequest, Body()]) -> Response:
        """Generates the next message of a conversation. With `stream`, sends it as server-sent events."""
        require(request.scope, body.model)
        model = await openai.find_model(store, body.model, chats, "chats")
        native = body.to_native(model)
        if body.stream:
            head = openai.response_head("chat.completion.chunk", "chatcmpl", model, body)
            pieces = stream.stream_outputs(request, model, [native])
            return await stream.start_stream(events(pieces, head, body.wants_usage), model.headers, openai.error_event)
        (output,) = await answer(request, model, [native])
        message = {"role": "assistant", "content": output["text"], "refusal": None}
        choice = {"index": 0, "message": message, "finish_reason": output["finish_reason"]}
        content = {
            **openai.response_head("chat.completion", "chatcmpl", model, body),
            "choices": [{**choice, "logprobs": logprobs(output["logprobs"])}],
            "usage": output["usage"],
        }
        return Response(json.dumps(content, ensure_ascii=False), media_type="application/json", headers=model.headers)


def logprobs(native: JsonObject | None) -> JsonObject | None:
    """Log-probabilities in the form of chat completions."""
    if native is None:
        return None
    likeliest = native["top_logprobs"] or [{}] * len(native["tokens"])
    rows = zip(native["tokens"], native["token_logprobs"], likeliest, strict=True)
    content = [
        {**token_logprob(word, own), "top_logprobs": [token_logprob(*one) for one in top.items()]}
        for word, own, top in rows
    ]
    return {"content": content, "refusal": None}


def token_logprob(token: str, logprob: float) -> JsonObject:
    """A token, its natural log-probability and its bytes in UTF-8."""
    return {"token": token, "logprob": logprob, "bytes": list(token.encode())}


async def events(
    pieces: AsyncGenerator[tuple[int, Piece], None], head: JsonObject, wants_usage: bool
) -> AsyncGenerator[str, None]:
    """The role, a chunk per piece of text, the finish reason; then [DONE]."""

    def chunk(delta: JsonObject, reason: str | None = None) -> str:
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
            if wants_usage:
                yield stream.event({**head, "choices": [], "usage": piece.usage.model_dump()})
    yield "data: [DONE]\n\n"
