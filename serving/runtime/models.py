"""One version of a model: a bundle, its predictor, and the request and response types."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model
from pydantic_core import to_json

from roadmap.bundle import (
    Batches,
    Bundle,
    BundleError,
    Chats,
    Embeds,
    Execution,
    Predictor,
    Streams,
    Tokenizes,
    load_predictor,
)
from roadmap.bundle.sessions import ON_CPU
from roadmap.io.json import JsonObject
from serving.errors import MAX_ERRORS, Refusal, pointer
from serving.observability import metrics
from serving.runtime.batching import Queue, QueueFull, Scheduler
from serving.runtime.cells import Columns
from serving.runtime.generation import GenerationLoop, Piece

if TYPE_CHECKING:
    import numpy as np

NOT_FINITE = "the prediction is not a finite number; an input may be far outside the training data"


class RequestBody(BaseModel):
    """The body of a request for predictions. Each model makes its own, whose inputs are its requests."""

    model_config = ConfigDict(extra="forbid")

    if TYPE_CHECKING:
        inputs: list[BaseModel]


class ModelVersion(BaseModel):
    """The model that computed a response."""

    name: str
    version: str = Field(description="first twelve hex digits of the bundle's hash")
    profile: Literal["sample", "full"] = Field(description="the profile that it was trained with")
    source: str = Field(description="the dataset that it was trained on")
    created: str = Field(description="when it was trained; ISO 8601, UTC")


class Model:
    """Loaded and warmed up with its example. Immutable; a new bundle is a new Model.

    Raises:
        BundleError: the bundle is damaged, its predictor cannot be loaded, or its example fails.
    """

    def __init__(
        self, name: str, folder: Path, scheduler: Scheduler, max_inputs: int = 1024, execution: Execution = ON_CPU
    ) -> None:
        self.name, self.scheduler = name, scheduler
        self.bundle = Bundle(folder, execution)
        self.manifest = self.bundle.manifest
        if self.manifest.project != name:
            raise BundleError(f"{folder}: found a bundle of {self.manifest.project}; expected {name}")
        try:
            self.predictor: Predictor = load_predictor(self.bundle)
            self.request = self._named("request", self.predictor.Request)
            self.response = self._named("response", self.predictor.Response)
            self.input_limit = min(self.predictor.max_inputs or max_inputs, max_inputs)
            # fail_fast: a body full of errors costs no more than a valid one; only the first is reported.
            inputs: Any = (list[self.request], Field(min_length=1, max_length=self.input_limit, fail_fast=True))  # type: ignore[name-defined]
            self.batch = create_model(f"{name}_batch", __base__=RequestBody, inputs=inputs)
            self.example = self.bundle.example
            inputs = [self.request.model_validate(one) for one in self.example]
            self.example_outputs = self.outputs(inputs)
            started = time.perf_counter()
            self.outputs(inputs)
            self.queue = Queue(self.predict_json, name, seconds=time.perf_counter() - started)
        except BundleError:
            raise
        except Refusal as refusal:
            raise BundleError(f"{folder}: its example fails: {refusal.detail}") from None
        except Exception as error:
            raise BundleError(f"{folder}: {type(error).__name__}: {error}") from error
        predictor = self.predictor
        self.loop = GenerationLoop(predictor, scheduler.max_queue) if isinstance(predictor, Streams) else None
        self.batches_generation = isinstance(predictor, Batches)
        self.chats = predictor if isinstance(predictor, Chats) else None
        self.embeds = predictor if isinstance(predictor, Embeds) else None
        self.tokenizes = predictor if isinstance(predictor, Tokenizes) else None
        self.embedding = Queue(self._embedded, name)

    def _named(self, role: str, base: type[BaseModel]) -> type[BaseModel]:
        """The same type with a unique name, because OpenAPI shows all projects in one document."""
        return create_model(f"{self.name}_{role}", __base__=base)

    @property
    def generates_text(self) -> bool:
        """Whether it streams text."""
        return self.loop is not None

    @property
    def version(self) -> str:
        """The bundle's version: twelve hex digits."""
        return self.manifest.version

    @cached_property
    def columns(self) -> Columns:
        """The request's fields as columns, for CSV."""
        return Columns(self.request)

    @cached_property
    def files(self) -> frozenset[str]:
        """The request's fields that hold a file, in base64."""
        fields = self.request.model_json_schema()["properties"]
        return frozenset(name for name, spec in fields.items() if '"contentEncoding"' in json.dumps(spec))

    @cached_property
    def label(self) -> JsonObject:
        """The `model` field of a response."""
        return ModelVersion(
            name=self.name, version=self.version, **self.manifest.model_dump(exclude={"files"})
        ).model_dump()

    @cached_property
    def headers(self) -> dict[str, str]:
        """Lineage: code, data, run and bundle."""
        manifest = self.manifest
        return {
            "X-Model": self.name,
            "X-Model-Version": self.version,
            "X-Model-Commit": manifest.git_commit or "unknown",
            "X-Model-Data": manifest.data_sha256,
            "X-Model-Run": manifest.run,
        }

    def predict_json(self, inputs: Sequence[BaseModel]) -> list[JsonObject]:
        """`outputs` without the check, for one batch of the scheduler."""
        return [output.model_dump() for output in self.predictor.predict(inputs)]

    def outputs(self, inputs: Sequence[BaseModel]) -> list[JsonObject]:
        """The predictions as JSON values, one per input, in order, computed in this thread.

        Raises:
            Refusal: 422, a prediction is NaN or infinite, for instance by overflow.
        """
        return checked(self.predict_json(inputs))

    def submit(self, inputs: Sequence[BaseModel]) -> "asyncio.Future[list[JsonObject]]":
        """The same through the queue, batched with other requests; not `checked` yet.

        Raises:
            Refusal: 503 if the queue is full.
        """
        try:
            if self.batches_generation:
                return asyncio.ensure_future(self._generate(inputs))
            future = self.scheduler.submit(self.queue, inputs)
            if self.scheduler.observe is not None:
                metrics.queue(self.name, self.queue.waiting)
            return future
        except QueueFull as full:
            raise self._busy(full) from None

    async def embed(self, texts: list[str]) -> tuple["np.ndarray", int]:
        """float32 [texts, d], and the number of tokens read, through the queue.

        Raises:
            Refusal: 503 if the queue is full.
            ValueError: a text cannot be embedded.
        """
        try:
            (found,) = await self.scheduler.submit(self.embedding, [texts])
        except QueueFull as full:
            raise self._busy(full) from None
        if isinstance(found, ValueError):
            raise found
        return found

    def _embedded(self, requests: Sequence[list[str]]) -> list[tuple["np.ndarray", int] | ValueError]:
        """One result per request, or its error, which doesn't affect the others."""
        assert self.embeds is not None
        answers: list[tuple[np.ndarray, int] | ValueError] = []
        for texts in requests:
            try:
                answers.append(self.embeds.embed(texts))
            except ValueError as error:
                answers.append(error)
        return answers

    async def _generate(self, inputs: Sequence[BaseModel]) -> list[JsonObject]:
        assert self.loop is not None
        try:
            outputs = await self.loop.complete(inputs)
        except QueueFull as full:
            raise self._busy(full) from None
        for output in outputs:
            self._count(output)
        return [output.model_dump() for output in outputs]

    async def stream(self, inputs: Sequence[BaseModel], seconds: float) -> AsyncGenerator[tuple[int, Piece], None]:
        """Yields (index of the input, a piece of text, finally its `Response`), for so many seconds at most.

        Raises:
            Refusal: 503 if the queue is full, 504 on timeout.
        """
        assert self.loop is not None
        try:
            async with aclosing(self.loop.stream(inputs, seconds)) as pieces:
                async for number, piece in pieces:
                    self._count(piece)
                    yield number, piece
        except QueueFull as full:
            raise self._busy(full) from None
        except TimeoutError:
            raise Refusal(504, f"{self.name} timed out after {seconds:g} s; request fewer tokens") from None

    def _count(self, output: Any) -> None:
        if usage := getattr(output, "usage", None):
            metrics.tokens(self.name, usage.completion_tokens)

    def _busy(self, full: QueueFull) -> Refusal:
        headers = {"Retry-After": str(full.seconds)}
        return Refusal(503, f"{self.name}: {full}; retry in {full.seconds} s", headers=headers)

    async def predict(self, inputs: Sequence[BaseModel]) -> list[JsonObject]:
        """`outputs` through the queue.

        Raises:
            Refusal: as `submit` and `outputs` do.
        """
        return checked(await self.submit(inputs))


def checked(outputs: list[JsonObject]) -> list[JsonObject]:
    """Returns the outputs unchanged.

    Raises:
        Refusal: 422, one of them is NaN or infinite.
    """
    if not finite(outputs):
        bad = [index for index, output in enumerate(outputs) if not finite(output)]
        errors = [{"pointer": pointer(("inputs", index)), "detail": NOT_FINITE} for index in bad]
        raise Refusal(422, f"inputs/{bad[0]}: {NOT_FINITE}", errors=errors[:MAX_ERRORS])
    return outputs


def finite(value: object) -> bool:
    """Whether it is valid JSON: no NaN and no infinity, at any depth."""
    content = to_json(value, inf_nan_mode="constants")
    if b"NaN" not in content and b"Infinity" not in content:
        return True
    try:
        json.dumps(value, allow_nan=False)  # slower, but distinguishes numbers from equal texts
    except ValueError:
        return False
    return True
