"""LitServe: the predictor behind its batching queue, a worker per core."""

import json
import os
from collections.abc import Iterator
from itertools import chain
from typing import Any

import litserve
from pydantic import BaseModel

from roadmap.bundle import Bundle, load_predictor
from roadmap.io.json import JsonObject

WORKERS = os.cpu_count() or 1


class Predict(litserve.LitAPI):
    def setup(self, device: str) -> None:
        self.predictor = load_predictor(Bundle(os.environ["BUNDLE"]))

    def decode_request(self, request: JsonObject) -> list[BaseModel]:
        return [self.predictor.Request.model_validate(one) for one in request["inputs"]]

    def batch(self, inputs: list[list[BaseModel]]) -> list[list[BaseModel]]:
        return inputs

    def predict(self, batch: list[list[BaseModel]]) -> list[list[BaseModel]]:
        answers = iter(self.predictor.predict(list(chain.from_iterable(batch))))
        return [[next(answers) for _ in inputs] for inputs in batch]

    def unbatch(self, output: list[list[BaseModel]]) -> list[list[BaseModel]]:
        return output

    def encode_response(self, output: list[BaseModel]) -> JsonObject:
        return {"outputs": [answer.model_dump() for answer in output]}


class Stream(litserve.LitAPI):
    def setup(self, device: str) -> None:
        self.predictor = load_predictor(Bundle(os.environ["BUNDLE"]))

    def decode_request(self, request: JsonObject) -> BaseModel:
        return self.predictor.Request.model_validate(request)

    def predict(self, request: BaseModel) -> Iterator[str | BaseModel]:
        yield from self.predictor.stream(request)  # type: ignore[attr-defined]

    def encode_response(self, pieces: Iterator[str | BaseModel]) -> Any:
        # LitServe takes the annotation for the response's model.
        for piece in pieces:
            if isinstance(piece, str):
                yield f"data: {json.dumps({'text': piece})}\n\n"


if __name__ == "__main__":
    api = (
        Stream(api_path="/stream", stream=True)
        if os.environ["STREAM"] == "1"
        else Predict(api_path="/predict", max_batch_size=64, batch_timeout=0.0)
    )
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=WORKERS, timeout=False, fast_queue=True)
    server.run(
        host="127.0.0.1",
        port=int(os.environ["PORT"]),
        num_api_servers=WORKERS,
        generate_client_file=False,
        log_level="warning",
    )
