"""Ray Serve: dynamic batching, a replica per core."""

import json
import os
from collections.abc import Iterator
from itertools import chain

import ray
from pydantic import BaseModel
from ray import serve
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from roadmap.bundle import Bundle, load_predictor

CORES = os.cpu_count() or 1


@serve.deployment(num_replicas=CORES, max_ongoing_requests=128, logging_config={"enable_access_log": False})
class Roadmap:
    def __init__(self, bundle: str) -> None:
        self.predictor = load_predictor(Bundle(bundle))

    @serve.batch(max_batch_size=64, batch_wait_timeout_s=0.0)
    async def predict(self, batch: list[list[BaseModel]]) -> list[list[BaseModel]]:
        answers = iter(self.predictor.predict(list(chain.from_iterable(batch))))
        return [[next(answers) for _ in inputs] for inputs in batch]

    def events(self, request: BaseModel) -> Iterator[str]:
        for piece in self.predictor.stream(request):  # type: ignore[attr-defined]
            if isinstance(piece, str):
                yield f"data: {json.dumps({'text': piece})}\n\n"

    async def __call__(self, http: Request) -> Response:
        body = await http.json()
        validate = self.predictor.Request.model_validate
        if http.url.path == "/stream":
            return StreamingResponse(self.events(validate(body)), media_type="text/event-stream")
        answers = await self.predict([validate(one) for one in body["inputs"]])
        return JSONResponse({"outputs": [answer.model_dump() for answer in answers]})


if __name__ == "__main__":
    ray.init(num_cpus=CORES, include_dashboard=False, log_to_driver=False)
    serve.start(http_options={"host": "127.0.0.1", "port": int(os.environ["PORT"])})
    serve.run(Roadmap.bind(os.environ["BUNDLE"]), blocking=True)  # type: ignore[attr-defined]
