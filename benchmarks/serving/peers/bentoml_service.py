"""BentoML: adaptive batching, a worker per core."""

import json
import os
from collections.abc import AsyncGenerator
from typing import Annotated

import bentoml
from bentoml.validators import ContentType
from starlette.concurrency import iterate_in_threadpool

from roadmap.bundle import Bundle, load_predictor
from roadmap.io.json import JsonObject


@bentoml.service(workers="cpu_count", traffic={"timeout": 60}, logging={"access": {"enabled": False}})
class Roadmap:
    def __init__(self) -> None:
        self.predictor = load_predictor(Bundle(os.environ["BUNDLE"]))

    @bentoml.api(batchable=True, max_batch_size=64, max_latency_ms=1000)
    def predict(self, inputs: list[JsonObject]) -> list[JsonObject]:
        requests = [self.predictor.Request.model_validate(one) for one in inputs]
        return [answer.model_dump() for answer in self.predictor.predict(requests)]

    @bentoml.api
    async def stream(
        self, prompt: str, max_tokens: int, temperature: float
    ) -> AsyncGenerator[Annotated[str, ContentType("text/event-stream")], None]:
        fields = {"prompt": prompt, "max_tokens": max_tokens, "temperature": temperature}
        request = self.predictor.Request.model_validate(fields)
        async for piece in iterate_in_threadpool(self.predictor.stream(request)):  # type: ignore[attr-defined]
            if isinstance(piece, str):
                yield f"data: {json.dumps({'text': piece})}\n\n"
