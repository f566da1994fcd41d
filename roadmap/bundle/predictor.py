"""The predictor: base class of pipelines/<project>/predict, and the optional capabilities.

Callers test `isinstance(predictor, Embeds)`, never for a method by name:

    Streams   generates its output piece by piece
    Batches   generates for several clients at once (continuous batching)
    Chats     turns a conversation into a prompt
    Embeds    turns texts into vectors
    Notes     tells what of a request it has never seen
    Tokenizes says which text token ids stand for
"""

import importlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Generic, NamedTuple, Protocol, TypeVar, runtime_checkable

from pydantic import BaseModel

from roadmap.bundle.bundle import Bundle
from roadmap.io.json import JsonObject

if TYPE_CHECKING:
    import numpy as np

Asked = TypeVar("Asked", bound=BaseModel)  # the predictor's `Request`
Asks = TypeVar("Asks", bound=BaseModel, contravariant=True)  # the same, of a protocol
Answered = TypeVar("Answered", bound=BaseModel)  # the predictor's `Response`
Key = TypeVar("Key")  # of a request in a batch


class Predictor(ABC, Generic[Asked, Answered]):
    """The module named in the manifest defines one, called `Predictor`. All predictions go through it."""

    Request: type[Asked]
    Response: type[BaseModel]
    max_inputs: int | None = None  # per HTTP request, for slow models; None: the server's limit

    @abstractmethod
    def __init__(self, bundle: Bundle) -> None: ...

    @abstractmethod
    def predict(self, inputs: Sequence[Asked]) -> Sequence[Answered]:
        """One `Response` per `Request`, in order."""


class ScoredText(str):
    """A piece of generated text that carries the log-probabilities of the tokens that begin in it."""

    def __new__(cls, text: str, logprobs: BaseModel) -> "ScoredText":
        made = super().__new__(cls, text)
        made.logprobs = logprobs
        return made

    logprobs: BaseModel


@runtime_checkable
class Streams(Protocol[Asks]):
    """Generates its output piece by piece."""

    @abstractmethod
    def stream(self, request: Asks) -> Iterator[str | BaseModel]:
        """Yields pieces of text, then the `Response`."""


class GenerationBatch(Protocol[Asks, Key]):
    """Requests generated together; more may join between two steps. Not thread-safe."""

    size: int  # capacity, in requests

    def __len__(self) -> int:
        """Number of active requests."""

    def add(self, request: Asks) -> Key:
        """Adds a request; returns its key."""

    def drop(self, key: Key, /) -> None:
        """Removes a request that nobody waits for."""

    def step(self) -> list[tuple[Key, str | BaseModel | Exception]]:
        """New output by key: a piece of text, finally the `Response`, or the exception that ended the request."""


@runtime_checkable
class Batches(Streams[Asks], Protocol[Asks]):
    """Generates for several clients at once."""

    @abstractmethod
    def batch(self) -> GenerationBatch: ...


class CallFormat(NamedTuple):
    """How a model writes a call of a tool into its text: a JSON object of two keys between two marks.

    The default is that of Hermes, which Qwen, SmolLM and others follow.
    """

    begin: str = "<tool_call>"
    end: str = "</tool_call>"
    name: str = "name"
    arguments: str = "arguments"


@runtime_checkable
class Chats(Protocol):
    """Continues conversations.

    calls: how it calls tools; None: it calls none
    """

    calls: CallFormat | None

    @abstractmethod
    def chat(self, messages: Sequence[JsonObject], tools: Sequence[JsonObject] = ()) -> tuple[str, list[str]]:
        """OpenAI's messages and tools -> the prompt to continue, and the stop texts.

        messages: role, content (a text) and what they may have of name, tool_call_id and tool_calls, whose arguments
        are objects

        Raises:
            ValueError: the template refuses the messages, or fails.
        """


@runtime_checkable
class Embeds(Protocol):
    """Turns texts into vectors."""

    @abstractmethod
    def embed(self, texts: Sequence[str]) -> tuple["np.ndarray", int]:
        """-> float32 [n, d], and the number of tokens read

        Raises:
            ValueError: a text cannot be embedded.
        """


class Note(NamedTuple):
    """What is worth telling of one field of a request that is answered all the same."""

    field: str
    kind: str  # unseen: a value that training had not; absent: no value; cut: more than is read
    detail: str


@runtime_checkable
class Notes(Protocol[Asks]):
    """Tells what of a request it has never seen."""

    @abstractmethod
    def notes(self, request: Asks) -> list[Note]: ...


@runtime_checkable
class Tokenizes(Protocol):
    """Takes token ids for a text."""

    @abstractmethod
    def text_of(self, ids: Sequence[int]) -> str:
        """The text that these are the tokens of.

        Raises:
            ValueError: an id is not in the vocabulary, or the text's tokens are others.
        """


def load_predictor(bundle: Bundle) -> Predictor:
    """The predictor named in the manifest, loaded from this bundle."""
    return importlib.import_module(bundle.manifest.predictor).Predictor(bundle)
