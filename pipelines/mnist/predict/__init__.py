"""MNIST over HTTP: a grey image in, a digit and ten probabilities out. No torch."""

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any, Protocol

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, WithJsonSchema, create_model
from pydantic_core import PydanticCustomError

from roadmap import bundle
from roadmap.bundle import Bundle
from roadmap.inference import images

Grey = Annotated[int, Field(ge=0, le=255, strict=True)]


class Input(Protocol):
    """What `Predictor.Request` validates."""

    image: list[list[int]]  # rows of grey values


class Response(BaseModel):
    digit: int = Field(ge=0, le=9)
    probabilities: list[float] = Field(description="of the digits 0 to 9")


def _unpacked(value: Any, size: int) -> Any:
    """A decoded image as rows of grey values."""
    if not isinstance(value, str):
        return value
    try:
        return images.read(value, size, mode="L").tolist()
    except ValueError as error:
        raise PydanticCustomError("image", "{words}", {"words": str(error)}) from None


class Predictor(bundle.Predictor):
    Response = Response

    def __init__(self, bundle: Bundle) -> None:
        size = bundle.json("schema.json")["size"]
        row = Annotated[list[Grey], Field(min_length=size, max_length=size)]
        rows = Annotated[list[row], Field(min_length=size, max_length=size)]
        schema = {"anyOf": [TypeAdapter(rows).json_schema(), images.TEXT]}
        image = Annotated[rows, BeforeValidator(partial(_unpacked, size=size)), WithJsonSchema(schema)]
        description = f"{size} rows of {size} grey values, or base64 of a grey PNG or JPEG file; 0 is paper, 255 is ink"
        config = ConfigDict(extra="forbid", json_schema_extra={"example": bundle.example[0]})
        self.Request = create_model("mnist_request", __config__=config, image=(image, Field(description=description)))
        self.session = bundle.session()

    def predict(self, inputs: Sequence[Input]) -> list[BaseModel]:
        pixels = np.array([request.image for request in inputs], dtype=np.float32)[:, None] / 255  # [n, 1, size, size]
        logits = self.session.run(["y"], {"x": pixels})[0]  # [n, 10]
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        probabilities = odds / odds.sum(axis=1, keepdims=True)
        return [Response(digit=int(row.argmax()), probabilities=row.tolist()) for row in probabilities]
