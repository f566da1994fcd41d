"""POST /v1/completions: OpenAI's shape, for every model here that writes text. Its client works with this base URL."""

import json
import time
import uuid
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from serving import problems, stream
from serving.models import Model
from serving.problems import Refusal, documented, json_only

MAX_PROMPTS = 64

Prompt = Annotated[str, Field(max_length=100_000)]


class Completion(BaseModel):
    """OpenAI's request. Fields it has and we don't (suffix, best_of, logit_bias, ...) are refused by name."""

    model_config = ConfigDict(extra="forbid")

    model: str = Field(description="a model of GET /models that writes text")
    prompt: Prompt | Annotated[list[Prompt], Field(min_length=1, max_length=MAX_PROMPTS)]
    max_tokens: int = 16
    temperature: float = 1.0
    top_p: float = 1.0
    n: int = Field(default=1, ge=1, le=1, description="one answer per prompt")
    seed: int | None = None
    stop: str | list[str] | None = None
    logprobs: int | None = Field(default=None, ge=0, le=0, description="0: of the tokens written; others aren't kept")
    echo: bool = False
    stream: bool = False
    user: str | None = None

    def ours(self, prompt: str) -> dict[str, Any]:
        stop = [self.stop] if isinstance(self.stop, str) else self.stop or []
        same = self.model_dump(include={"max_tokens", "temperature", "top_p", "seed", "echo"})
        return {**same, "prompt": prompt, "stop": stop, "logprobs": self.logprobs is not None}


def add_completions(app: FastAPI, models: dict[str, Model]) -> None:
    writers = {name: model for name, model in models.items() if stream.streams(model)}

    @app.post(
        "/v1/completions",
        tags=["openai"],
        dependencies=[Depends(json_only)],
        responses=documented(400, 404, 413, 415, 422, 500),
    )
    def completions(asked: Completion) -> Response:
        """Text completion as OpenAI's API has it; `stream` sends server-sent events."""
        if asked.model not in writers:
            raise problems.unknown("model that writes text", asked.model, writers)
        model = writers[asked.model]
        prompts = [asked.prompt] if isinstance(asked.prompt, str) else asked.prompt
        requests = [validated(model, asked.ours(prompt)) for prompt in prompts]
        head = {
            "id": f"cmpl-{uuid.uuid4().hex}",
            "object": "text_completion",
            "created": int(time.time()),
            "model": asked.model,
        }
        if asked.stream:
            return stream.response(events(model, requests, head))
        outputs = model.outputs(requests)
        usage = {key: sum(output["usage"][key] for output in outputs) for key in outputs[0]["usage"]}
        choices = [choice(index, output) for index, output in enumerate(outputs)]
        content = json.dumps({**head, "choices": choices, "usage": usage}, ensure_ascii=False)
        return Response(content, media_type="application/json")


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
    logprobs = output["logprobs"]
    if logprobs is not None:
        offsets = [0]
        for token in logprobs["tokens"][:-1]:
            offsets.append(offsets[-1] + len(token))
        logprobs = {**logprobs, "top_logprobs": None, "text_offset": offsets[: len(logprobs["tokens"])]}
    return {"index": index, "text": output["text"], "finish_reason": output["finish_reason"], "logprobs": logprobs}


async def events(model: Model, requests: list[BaseModel], head: dict[str, Any]) -> AsyncIterator[str]:
    """The prompts' answers one after the other, a chunk per piece of text; then [DONE], as OpenAI says it."""
    for index, request in enumerate(requests):
        async for piece in stream.pieces(model.predictor.stream(request)):  # type: ignore[attr-defined]
            done = isinstance(piece, BaseModel)
            said = {"text": "" if done else piece, "finish_reason": piece.finish_reason if done else None}
            yield stream.event({**head, "choices": [{"index": index, "logprobs": None, **said}]})
    yield "data: [DONE]\n\n"
