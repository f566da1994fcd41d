"""CIFAR-10 over HTTP: a small colour image in, a class and its probabilities out. No torch."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, create_model

from roadmap import bundle
from roadmap.bundle import Bundle
from roadmap.inference import images


class Input(Protocol):
    """What `Predictor.Request` validates."""

    image: np.ndarray  # uint8 [size, size, 3]


class Response(BaseModel):
    label: str
    probabilities: dict[str, float] = Field(description="by class name")


class Predictor(bundle.Predictor):
    Response = Response

    def __init__(self, bundle: Bundle) -> None:
        schema = bundle.json("schema.json")
        self.classes, size = schema["classes"], schema["size"]
        description = f"{size} x {size} pixels in colour: a PNG or JPEG file in base64, or rows of [red, green, blue]"
        config = ConfigDict(extra="forbid", json_schema_extra={"example": bundle.example[0]})
        image = (images.field(size), Field(description=description))
        self.Request = create_model("cifar10_request", __config__=config, image=image)
        self.session = bundle.session()

    def predict(self, inputs: Sequence[Input]) -> list[BaseModel]:
        pixels = np.stack([request.image for request in inputs])  # uint8 [n, size, size, 3]
        logits = self.session.run(["y"], {"x": pixels})[0]  # [n, classes]
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        probabilities = odds / odds.sum(axis=1, keepdims=True)
        return [
            Response(label=self.classes[row.argmax()], probabilities=dict(zip(self.classes, row.tolist(), strict=True)))
            for row in probabilities
        ]
