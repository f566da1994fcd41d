"""The obvious solution: a FastAPI app that calls the PyTorch network, run by uvicorn with a worker per core."""

import json
import os
from collections.abc import Iterator
from typing import Any

import torch
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from benchmarks.serving.peers.networks import with_torch
from roadmap.bundle import Bundle

torch.set_num_threads(1)  # per request: the workers share the cores
predictor: Any = with_torch(Bundle(os.environ["BUNDLE"]))  # its models are made at run time
app = FastAPI()

One: Any = predictor.Request
Answer: Any = predictor.Response


class Inputs(BaseModel):
    inputs: list[One]


class Outputs(BaseModel):
    outputs: list[Answer]


@app.post("/predict")
def predict(batch: Inputs) -> Outputs:
    return Outputs(outputs=predictor.predict(batch.inputs))


@app.post("/stream")
def stream(request: One) -> StreamingResponse:
    def events() -> Iterator[str]:
        for piece in predictor.stream(request):
            if isinstance(piece, str):
                yield f"data: {json.dumps({'text': piece})}\n\n"

    return StreamingResponse(events(), media_type="text/event-stream")
