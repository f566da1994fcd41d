"""The answer of a chat: OpenAI's objects, whole and as a stream."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Literal

from pydantic import BaseModel, Field

from roadmap.bundle import ScoredText
from roadmap.io.json import JsonObject
from serving.http import stream
from serving.http.openai.api import Usage
from serving.http.openai.tools import Answer, AnswerCall
from serving.runtime.generation import Piece


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
    content: str | None
    refusal: None = None
    tool_calls: list[AnswerCall] | None = None


class ChatChoice(BaseModel):
    """The generated message and why it ended."""

    index: int
    message: AssistantMessage
    finish_reason: Literal["stop", "length", "tool_calls"]
    logprobs: ChatLogprobs | None


class ChatCompletionResponse(BaseModel):
    """The next message of the conversation."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    system_fingerprint: str = Field(description="the model's version")
    choices: list[ChatChoice]
    usage: Usage


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
    pieces: AsyncGenerator[tuple[int, Piece], None], message: Answer, head: JsonObject, wants_usage: bool
) -> AsyncGenerator[str, None]:
    """The role, chunks per piece of text, the finish reason; then [DONE]."""
    scores: list[JsonObject] = []  # of tokens that are in no chunk yet
    scored = False

    def chunk(delta: JsonObject, reason: str | None = None) -> str:
        found = {"content": [*scores], "refusal": None} if scored else None
        scores.clear()
        return stream.event(
            {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": reason, "logprobs": found}]}
        )

    started = False
    async with aclosing(pieces):
        async for _, piece in pieces:
            if not started:
                yield chunk({"role": "assistant", "content": ""})
                started = True
            if isinstance(piece, str):
                if isinstance(piece, ScoredText):
                    scored = True
                    scores += (logprobs(piece.logprobs.model_dump()) or {"content": []})["content"]
                for delta in message.read(piece):
                    yield chunk(delta)
                continue
            for delta in message.close():
                yield chunk(delta)
            scored = bool(scores)
            yield chunk({}, message.reason(piece.finish_reason))
            if wants_usage:
                yield stream.event({**head, "choices": [], "usage": piece.usage.model_dump()})
    yield "data: [DONE]\n\n"
