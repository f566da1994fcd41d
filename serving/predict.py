"""POST /models/<project>/predict: a batch of inputs in, one output each back."""

import asyncio
import base64
import time
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Generic, TypeVar

from fastapi import Body
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, Field, ValidationError, create_model
from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response

from serving.callers import require
from serving.models import Model, Name, checked
from serving.problems import Refusal, cut, documented, json_only

PATIENCE = 0.05  # seconds until it is asked whether the client is still there: most answers are quicker
MAX_FILES = 64

T = TypeVar("T")


class Answer(BaseModel, Generic[T]):
    outputs: list[T] = Field(description="one per input, in their order")
    model: Name


async def predict(request: Request) -> Response:
    model = await request.app.state.store.model(request.path_params["name"])
    if request.headers.get("content-type", "").startswith("multipart/form-data"):
        batch = await uploaded(request, model)
    else:
        json_only(request)
        batch = validated(model.batch.model_validate_json, await request.body())
    outputs = await answer(request, model, batch.inputs)
    content = to_json({"outputs": outputs, "model": model.label})
    return Response(content, media_type="application/json", headers=model.headers)


def validated(validate: Callable[[Any], Any], content: Any) -> Any:
    """What has arrived as its type says it, or the problem that FastAPI would make of it."""
    if not content:
        raise RequestValidationError([{"type": "missing", "loc": ("body",), "msg": "Field required"}])
    try:
        return validate(content)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        raise RequestValidationError([{**one, "loc": ("body", *one["loc"])} for one in found]) from None


async def uploaded(request: Request, model: Model) -> Any:
    """A form: each file or text is one field of an input, and fields that come several times make several inputs."""
    async with request.form(max_files=MAX_FILES, max_fields=MAX_FILES, max_part_size=2**20) as form:
        columns: dict[str, list[Any]] = {}
        for name, value in form.multi_items():
            cell = value if isinstance(value, str) else base64.b64encode(await value.read()).decode()
            columns.setdefault(name, []).append(cell)
    if len({len(column) for column in columns.values()}) > 1:
        counts = ", ".join(f"{cut(name)} {len(column)} times" for name, column in columns.items())
        raise Refusal(422, f"every field must come as often as the others: {counts}")
    inputs = [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]
    return validated(model.batch.model_validate, {"inputs": inputs})


async def answer(request: Request, model: Model, inputs: Sequence[Any]) -> list[dict[str, Any]]:
    """The model's outputs, while somebody waits for them and not for longer than the time allows.

    Raises:
        Refusal: 504 too late, and what Model.predict raises.
    """
    begin(request, model, len(inputs))
    began = time.perf_counter()
    seconds = allowed(request)
    future = model.submit(inputs)
    watch = Watch(request, future, seconds)
    try:
        outputs = checked(await future)
    except asyncio.CancelledError:
        if watch.gone:
            raise Refusal(499, "the client has left") from None  # for the log: nobody reads it
        if watch.late:
            said = f"{model.name} has no answer after {seconds:g} s; send fewer inputs, or ask again later"
            raise Refusal(504, said) from None
        raise
    finally:
        watch.end()
    record(request, model, inputs, outputs, began)
    return outputs


def begin(request: Request, model: Model, inputs: int) -> None:
    """Where every answer begins, whichever route it is for: so none can forget whom it serves, or to say what answered.

    Raises:
        Refusal: 403, the caller may not use this model.
    """
    require(request.scope, model.name)
    request.scope["state"].update(model=model, inputs=inputs)


def record(
    request: Request, model: Model, inputs: Sequence[Any], outputs: Sequence[dict[str, Any]], began: float
) -> None:
    """Into the prediction log, where there is one. `began` is of time.perf_counter()."""
    if (recorder := request.app.state.recorder) is not None:
        recorder.record(model, inputs, outputs, request.scope["state"]["request_id"], time.perf_counter() - began)


class Watch:
    """Cancels a future when the client has left, or when its time is over. Costs next to nothing for quick answers."""

    def __init__(self, request: Request, future: "asyncio.Future[Any]", seconds: float) -> None:
        self.request, self.future, self.seconds = request, future, seconds
        self.gone = self.late = False
        self.task: asyncio.Task[None] | None = None
        self.timer = asyncio.get_running_loop().call_later(min(PATIENCE, seconds), self._begin)

    def _begin(self) -> None:
        self.task = asyncio.ensure_future(self._watch())

    async def _watch(self) -> None:
        try:
            async with asyncio.timeout(max(self.seconds - PATIENCE, 0)):
                while (await self.request.receive())["type"] != "http.disconnect":
                    pass
            self.gone = True
        except TimeoutError:
            self.late = True
        self.future.cancel()

    def end(self) -> None:
        self.timer.cancel()
        if self.task is not None:
            self.task.cancel()


def allowed(request: Request) -> float:
    """Seconds: the server's limit, or the header X-Request-Timeout where it says less."""
    most: float = request.app.state.settings.timeout_seconds
    asked = request.headers.get("x-request-timeout")
    if asked is None:
        return most
    try:
        seconds = float(asked)
    except ValueError:
        seconds = -1.0
    if not seconds > 0:
        raise Refusal(400, f"X-Request-Timeout should be a number of seconds above 0, not {cut(asked)!r}")
    return min(seconds, most)


def documentation(model: Model) -> APIRoute:
    """What OpenAPI says of this model's route. The route that answers is one for all, so that models may change."""
    answer_type = create_model(f"{model.name}_answer", __base__=Answer[model.response])  # type: ignore[name-defined]
    example: Any = {"summary": "requests that this model is known to answer", "value": {"inputs": model.example}}
    answered = {"outputs": model.example_outputs, "model": model.label}
    Example = Body(openapi_examples={"example": example})

    def endpoint(batch: Annotated[model.batch, Example]) -> None:  # type: ignore[name-defined]
        """A batch of inputs in, one output each back. Also as gzip, or as a form with the fields of one input."""

    return APIRoute(
        f"/models/{model.name}/predict",
        endpoint,
        methods=["POST"],
        operation_id=f"predict_{model.name}",
        tags=[model.name],
        response_model=answer_type,
        responses=documented(400, 413, 415, 422, 500, 503, 504)
        | {200: {"content": {"application/json": {"example": answered}}}},
    )
