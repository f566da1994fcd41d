"""What answers requests from a bundle: the base class of pipelines/<project>/predict, and what a predictor may do more.

Whoever predicts asks `isinstance(predictor, Embeds)`, and never for a method by its name:

    Streams   writes its answer piece by piece
    Batches   writes the answers of several clients together (continuous batching)
    Chats     turns a conversation into the prompt that its answer continues
    Embeds    turns texts into vectors
"""

import importlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from pydantic import BaseModel

from roadmap.bundle.bundle import Bundle

if TYPE_CHECKING:
    import numpy as np


class Predictor(ABC):
    """The module that the manifest names has one, under this name. Everything that predicts goes through it."""

    Request: type[BaseModel]
    Response: type[BaseModel]
    max_inputs: int | None = None  # of one HTTP request, where answers take long; None: as many as the server takes

    @abstractmethod
    def __init__(self, bundle: Bundle) -> None: ...

    @abstractmethod
    def predict(self, inputs: Sequence[Any]) -> Sequence[BaseModel]:
        """A `Response` for each `Request`, in their order."""


@runtime_checkable
class Streams(Protocol):
    """Writes its answer piece by piece."""

    @abstractmethod
    def stream(self, request: Any) -> Iterator[str | BaseModel]:
        """Pieces of text, at the end the `Response`."""


class GenerationBatch(Protocol):
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


@runtime_checkable
class Batches(Streams, Protocol):
    """Writes the answers of several clients together."""

    @abstractmethod
    def batch(self) -> GenerationBatch: ...


@runtime_checkable
class Chats(Protocol):
    """Continues conversations."""

    @abstractmethod
    def chat(self, messages: Sequence[tuple[str, str]]) -> tuple[str, list[str]]:
        """(role, content) of each -> the prompt that the answer continues, and the texts that end it"""


@runtime_checkable
class Embeds(Protocol):
    """Turns texts into vectors."""

    @abstractmethod
    def embed(self, texts: Sequence[str]) -> tuple["np.ndarray", int]:
        """-> float32 [n, d], and the number of tokens read

        Raises:
            ValueError: a text that can't be read.
        """


def load_predictor(bundle: Bundle) -> Predictor:
    """The predictor that the manifest names, standing on this bundle."""
    return importlib.import_module(bundle.manifest.predictor).Predictor(bundle)
