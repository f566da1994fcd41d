"""What answers requests from a bundle: the interface of pipelines/<project>/predict.py."""

import importlib
from collections.abc import Sequence
from typing import Any, Protocol

from pydantic import BaseModel

from roadmap.bundle.bundle import Bundle


class Batch(Protocol):
    """Answers that are written together, piece by piece; others join between two steps. For one thread."""

    size: int  # answers at most

    def __len__(self) -> int:
        """How many are being written."""

    def add(self, request: Any) -> Any:
        """Lets one join. Returns a key of it."""

    def drop(self, key: Any) -> None:
        """Lets one leave that nobody waits for any more."""

    def step(self) -> list[tuple[Any, Any]]:
        """What is new, by key: a piece of text, at the end the `Response`, or the exception that ended this one."""


class Predictor(Protocol):
    """What pipelines/<project>/predict.py provides under this name. Everything that predicts goes through it.

    One that writes text may also have
        stream(request)   an iterator of pieces of text that ends with the `Response`
        batch()           a `Batch`: then requests of several clients are written together
        chat(messages)    (role, content) of each -> the prompt that the answer continues, and the texts that end it
    One that knows what texts mean may have
        embed(texts)      -> float32 [n, d], and the number of tokens read; ValueError where it can't read one
    One whose answers take long may also say `max_inputs`, the most that one HTTP request may bring.
    """

    Request: type[BaseModel]
    Response: type[BaseModel]

    def __init__(self, bundle: Bundle) -> None: ...

    def predict(self, inputs: Sequence[Any]) -> list[Any]:
        """Answers a batch of `Request`s in their order."""


def load_predictor(bundle: Bundle) -> Predictor:
    """The predictor that the manifest names, standing on this bundle."""
    return importlib.import_module(bundle.manifest.predictor).Predictor(bundle)
