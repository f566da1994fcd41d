"""SageMaker's contract for the one project of a container: GET /ping and POST /invocations.

Accepts and returns JSON (also as MLflow's servers have it), JSON Lines and CSV. There is one output line per input
line, in order, so that batch transform can split files at line ends and join the outputs.
"""

import asyncio
import io
import json
import os
from codecs import BOM_UTF8
from collections.abc import Iterator
from itertools import islice

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from pydantic_core import from_json
from starlette.requests import Request
from starlette.responses import Response

from roadmap.io.json import JsonObject
from serving.errors import Refusal, cut, in_body, pointer
from serving.http import frames, noted
from serving.http.answering import answer
from serving.http.media import Options, media, utf8_only
from serving.http.predict import validated
from serving.runtime.cells import TableError, csv_from_rows, rows_from_csv
from serving.runtime.models import Model

JSON, LINES, CSV = "application/json", "application/jsonlines", "text/csv"
KINDS = (JSON, LINES, CSV)
HEADER = {"present": True, "absent": False}  # RFC 4180's parameter of text/csv
SLICE = 256  # lines per slice, so that several large requests fit into the model's queue
ATTRIBUTES = "X-Amzn-SageMaker-Custom-Attributes"


def add_sagemaker(app: FastAPI) -> None:
    """The routes for the project MODEL_PROJECT, or for the only one."""
    project = os.environ.get("MODEL_PROJECT")

    async def model() -> Model:
        names = [project] if project else app.state.store.names()
        if len(names) != 1:
            there = f"there are {', '.join(names)}" if names else "there is none"
            raise Refusal(404, f"this address serves one project, but {there}; set MODEL_PROJECT")
        loaded: Model = await app.state.store.model(names[0])
        return loaded

    @app.get("/ping", include_in_schema=False)
    async def ping() -> dict[str, str]:
        """Health check: 200 once the model is loaded."""
        loaded = await model()
        return {"name": loaded.name, "version": loaded.version}

    @app.get("/execution-parameters", include_in_schema=False)
    async def execution_parameters() -> JsonObject:
        """The defaults of batch transform."""
        settings = app.state.settings
        most = {"MaxConcurrentTransforms": settings.threads, "MaxPayloadInMB": min(6, settings.max_body_mb)}
        return {**most, "BatchStrategy": "MULTI_RECORD"}

    @app.post("/invocations", include_in_schema=False)
    async def invocations(request: Request) -> Response:
        return await invoked(request, await model())


async def invoked(request: Request, model: Model) -> Response:
    """Predicts, and responds in the type that Accept requests.

    Raises:
        Refusal: 400, 406, 415, 422, and what `answer` raises.
    """
    kind, options = sent(request.headers.get("content-type", ""))
    wanted, how = accepted(request.headers.get("accept", ""), kind)
    body = await request.body()
    if kind == JSON:
        shape, inputs = parsed(model, body)
        outputs = await answer(request, model, inputs)
    else:
        shape, outputs = "batch", await answer_lines(request, model, lines(model, kind, options, body))
    if wanted == CSV:
        content = csv_from_rows(outputs, header=HEADER.get(how.get("header", ""), False))
    elif wanted == LINES:
        content = "".join(json.dumps(output, ensure_ascii=False) + "\n" for output in outputs)
    else:
        batch = {"outputs": outputs, "model": model.label, **noted.notes(request)}
        shapes = {"batch": batch, "list": outputs, "one": outputs[0], "frame": {"predictions": outputs}}
        content = json.dumps(shapes[shape], ensure_ascii=False)
    given = request.headers.get(ATTRIBUTES)
    headers = model.headers | noted.headers(request) | ({ATTRIBUTES: given} if given else {})
    return Response(content, media_type=wanted, headers=headers)


# ---------------------------------------------------------------- requests


def sent(content_type: str) -> tuple[str, Options]:
    """The body's media type and its parameters. Raises: Refusal: 415."""
    kind, options = media(content_type)
    if kind not in KINDS:
        came = f"as {cut(kind)}" if kind else "without a content type"
        raise Refusal(415, f"send the body as one of {', '.join(KINDS)}; this one came {came}")
    utf8_only(options)
    return kind, options


def parsed(model: Model, body: bytes) -> tuple[str, list[BaseModel]]:
    """{"inputs": [...]}, a list of inputs, a single one, or a frame -> which of these, and the inputs.

    Raises:
        Refusal: 400, the body is not JSON; 422, it is no frame.
        RequestValidationError: 422, an input doesn't match the model's request.
    """
    try:
        given = from_json(body.removeprefix(BOM_UTF8))
    except ValueError as error:
        raise Refusal(400, f"the body is not JSON: {error}") from None
    if isinstance(given, dict) and "inputs" in given:
        return "batch", validated(model.batch.model_validate, given).inputs
    if name := frames.key(given):
        return "frame", framed(model, given, name)
    shape, inputs, added = ("list", given, 1) if isinstance(given, list) else ("one", [given], 2)
    try:
        return shape, validated(model.batch.model_validate, {"inputs": inputs}).inputs
    except RequestValidationError as error:  # point into the original body
        found = [{**one, "loc": ("body", *one["loc"][1 + added :])} for one in error.errors()]
        raise RequestValidationError(found) from None


def framed(model: Model, body: JsonObject, name: str) -> list[BaseModel]:
    """The inputs of a frame as MLflow has it. Raises: Refusal, RequestValidationError: 422, pointing into the frame."""
    try:
        return list(validated(model.batch.model_validate, {"inputs": frames.rows(body, name)}).inputs)
    except RequestValidationError as error:
        found = [{**one, "loc": ("body", *frames.place(body, name, one["loc"][2:]))} for one in error.errors()]
        raise RequestValidationError(found) from None


def lines(model: Model, kind: str, options: Options, body: bytes) -> Iterator[BaseModel]:
    """The inputs of lines of text; the first invalid line raises an error.

    Raises:
        Refusal: 400 not UTF-8, 422 a header or a line that can't be read.
        RequestValidationError: 422, a line doesn't match the model's request.
    """
    header = HEADER.get(options.get("header", ""))
    rows = rows_from_csv(text(body), model.columns, header) if kind == CSV else rows_from_json(body)
    try:
        for number, fields in rows:
            if isinstance(fields, TableError):
                raise unreadable(str(fields), f"line {number}")
            try:
                yield model.request.model_validate(fields)
            except ValidationError as error:
                found = in_body(error.errors(include_url=False, include_input=False), fields)
                placed = [{**one, "loc": ("body", f"line {number}", *one["loc"])} for one in found]
                raise RequestValidationError(placed) from None
    except TableError as error:
        raise unreadable(str(error)) from None


def unreadable(detail: str, *place: str) -> Refusal:
    """422 that points at a line, or at the whole body."""
    errors = [{"pointer": pointer(place), "detail": detail}]
    return Refusal(422, ": ".join([*place, detail]), errors=errors)


def text(body: bytes) -> io.StringIO:
    """Raises: Refusal: 400, not UTF-8."""
    try:
        return io.StringIO(body.decode("utf-8-sig"), newline="")
    except UnicodeDecodeError as error:
        raise Refusal(400, f"the body is not UTF-8: byte {error.start}") from None


def rows_from_json(body: bytes) -> Iterator[tuple[int, object]]:
    """(line, value) of JSON Lines; a TableError in place of a value that can't be read."""
    for number, line in enumerate(body.removeprefix(BOM_UTF8).split(b"\n"), 1):
        if line.strip():
            try:
                yield number, from_json(line)
            except ValueError as error:
                yield number, TableError(f"is not JSON: {error}")


async def answer_lines(request: Request, model: Model, inputs: Iterator[BaseModel]) -> list[JsonObject]:
    """One output per line, predicted slice by slice. Lines are parsed in a thread, so that /ping stays responsive.

    Raises:
        Refusal: 422 no line at all, and what `answer` raises.
        Refusal, RequestValidationError: what `lines` raises.
    """
    outputs: list[JsonObject] = []
    while some := await asyncio.to_thread(list, islice(inputs, min(SLICE, model.input_limit))):
        try:
            outputs += await answer(request, model, some, before=len(outputs))
        except Refusal as refusal:
            if outputs and refusal.status_code == 422:
                refusal.detail = f"after {len(outputs)} inputs: {refusal.detail}"
            raise
    if not outputs:
        raise unreadable("the body has no line with an input")
    request.state.inputs = len(outputs)  # of all slices, not of the last
    return outputs


# ---------------------------------------------------------------- responses


def accepted(accept: str, kind: str) -> tuple[str, Options]:
    """The type that the caller prefers; by default the type of the request. Raises: Refusal: 406, none of ours."""
    ranges = [media(one) for one in accept.split(",")] if accept.strip() else [("*/*", {})]
    for name, options in sorted(ranges, key=lambda one: -quality(one[1])):
        for offered in (kind, *KINDS):
            if quality(options) and name in (offered, f"{offered.partition('/')[0]}/*", "*/*"):
                return offered, options
    raise Refusal(406, f"accept: found {cut(accept)}; expected one of {', '.join(KINDS)}")


def quality(options: Options) -> float:
    """The q value of a media range; 0 if it is not a number."""
    try:
        return max(0.0, float(options.get("q", 1)))
    except ValueError:
        return 0.0
