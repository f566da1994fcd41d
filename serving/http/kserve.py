"""The Open Inference Protocol v2 (KServe, Triton): each field of a request is a tensor with one row per input.

    {"inputs": [{"name": "age", "shape": [2], "datatype": "FP64", "data": [22, 38]}, ...]}

Numbers are FP64, integers INT64, booleans BOOL, and BYTES is text, including the JSON of values that are no tensor
(ragged lists, objects, nulls). https://kserve.github.io/website/docs/concepts/architecture/data-plane/v2-protocol
"""

import json
import math
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field

from serving.errors import Refusal, cut, describe
from serving.http import noted, predict
from serving.http.answering import answer, answer_with_split
from serving.http.media import json_only
from serving.http.openapi import ModelName
from serving.http.problems import documented
from serving.runtime.cells import Columns
from serving.runtime.models import Model
from serving.runtime.store import ModelStore

Datatype = Literal[
    "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "FP32", "FP64", "BYTES"
]
MAX_DIMENSIONS = 8
OF_KIND = {"b": "BOOL", "i": "INT64", "f": "FP64"}

Size = Annotated[int, Field(ge=0, lt=2**31)]


class Lenient(BaseModel):
    # Clients may send further members, such as "parameters"; the protocol allows it.

    model_config = ConfigDict(extra="ignore")


class Tensor(Lenient):
    """One field of all inputs or outputs; its first dimension counts them."""

    name: Annotated[str, Field(max_length=200, description="name of the field")]
    shape: Annotated[list[Size], Field(min_length=1, max_length=MAX_DIMENSIONS, description="the first is the batch")]
    datatype: Datatype
    data: list[Any] = Field(description="flat in row-major order, or nested according to `shape`")


class RequestedOutput(Lenient):
    """An output tensor that the response should have."""

    name: str


class InferenceRequest(Lenient):
    """A batch of inputs, one tensor per field."""

    id: Annotated[str, Field(max_length=200)] | None = Field(None, description="repeated in the response")
    inputs: Annotated[list[Tensor], Field(min_length=1, max_length=100)]
    outputs: Annotated[list[RequestedOutput], Field(max_length=100)] | None = Field(
        None, description="tensors to return; default: all"
    )


class InferenceResponse(BaseModel):
    """The outputs, one tensor per field."""

    model_name: str
    model_version: str
    id: str | None = Field(None, description="id of the request")
    outputs: list[Tensor]


class TensorMetadata(BaseModel):
    """Name, type and shape of a tensor."""

    name: str
    datatype: Datatype
    shape: list[int] = Field(description="-1: any size")


class ModelMetadata(BaseModel):
    """A model's version and tensors."""

    name: str
    versions: list[str] = Field(description="the served version")
    platform: str = Field(description="library that runs the network")
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class ServerMetadata(BaseModel):
    """The server's name and protocol extensions."""

    name: str
    version: str
    extensions: list[str]


def add_kserve(app: FastAPI, store: ModelStore) -> None:
    """The routes under /v2."""

    @app.get("/v2", tags=["kserve"], summary="Server metadata")
    async def v2_server_metadata() -> ServerMetadata:
        """The server's name, version and protocol extensions."""
        return ServerMetadata(name="roadmap", version=app.version, extensions=[])

    @app.get("/v2/health/live", tags=["kserve"], summary="Server liveness")
    async def v2_live() -> dict[str, bool]:
        """200 while the process is up."""
        return {"live": True}

    @app.get("/v2/health/ready", tags=["kserve"], summary="Server readiness", responses=documented(503))
    async def v2_server_ready() -> dict[str, bool]:
        """200 if at least one model is loaded."""
        if not store.ready():
            raise Refusal(503, "no model is loaded")
        return {"ready": True}

    async def known(name: str, version: str | None) -> Model:
        model = await store.model(name)
        if version is not None and version != model.version:
            raise Refusal(404, f"{name} has no version {cut(version)!r}; version {model.version} is served")
        return model

    def routes(path: str, suffix: str) -> None:
        @app.get(
            path,
            tags=["kserve"],
            summary="Model metadata",
            responses=documented(404, 503),
            operation_id=f"v2_metadata{suffix}",
        )
        async def metadata(name: ModelName, version: str | None = None) -> ModelMetadata:
            """Version, runtime, and the names, types and shapes of the tensors."""
            return described(await known(name, version))

        @app.get(
            f"{path}/ready",
            tags=["kserve"],
            summary="Model readiness",
            responses=documented(404, 503),
            operation_id=f"v2_ready{suffix}",
        )
        async def model_ready(name: ModelName, version: str | None = None) -> dict[str, Any]:
            """200 if the model is loaded; an idle one is loaded first."""
            model = await known(name, version)
            return {"name": model.name, "ready": True}

        @app.post(
            f"{path}/infer",
            tags=["kserve"],
            summary="Infer",
            dependencies=[Depends(json_only)],
            response_model=InferenceResponse,
            responses=documented(400, 404, 413, 415, 422, 503, 504),
            operation_id=f"v2_infer{suffix}",
        )
        async def infer(
            name: ModelName, body: InferenceRequest, request: Request, version: str | None = None
        ) -> Response:
            """Predicts a batch of inputs. Each tensor is one field of the model's request, with one row per input."""
            model = await known(name, version)
            batch = validated(model, body.inputs)
            if version is None:
                outputs, model = await answer_with_split(request, model, batch.inputs)
            else:  # no fallback for a request of a specific version
                outputs = await answer(request, model, batch.inputs)
            tensors = columns(outputs, [output.name for output in body.outputs or []])
            id = {} if body.id is None else {"id": body.id}
            content = {"model_name": model.name, "model_version": model.version, **id, "outputs": tensors}
            headers = model.headers | noted.headers(request)
            return Response(json.dumps(content, ensure_ascii=False), media_type="application/json", headers=headers)

    routes("/v2/models/{name}", "")
    routes("/v2/models/{name}/versions/{version}", "_of_version")


def described(model: Model) -> ModelMetadata:
    """Names, types and shapes of the tensors, from the model's example."""

    def metadata(examples: Sequence[dict[str, Any]]) -> list[TensorMetadata]:
        return [
            TensorMetadata(name=one["name"], datatype=one["datatype"], shape=[-1, *one["shape"][1:]])
            for one in columns(examples, [])
        ]

    platform = "onnxruntime_onnx" if model.manifest.runtime == "onnx" else "pytorch"
    return ModelMetadata(
        name=model.name,
        versions=[model.version],
        platform=platform,
        inputs=metadata(model.example),
        outputs=metadata(model.example_outputs),
    )


# ---------------------------------------------------------------- tensors in


def validated(model: Model, tensors: Sequence[Tensor]) -> Any:
    """The model's batch.

    Raises:
        Refusal, RequestValidationError: 422, pointing at the tensor and the row of it.
    """
    try:
        return predict.validated(model.batch.model_validate, {"inputs": rows(tensors, model.columns)})
    except RequestValidationError as error:
        places = {tensor.name: place for place, tensor in enumerate(tensors)}
        found = []
        for one in error.errors():
            loc = ("body", "inputs")
            if len(one["loc"]) > 3 and (place := places.get(one["loc"][3])) is not None:
                data = tensors[place].data
                row = [one["loc"][2]] if len(data) == tensors[place].shape[0] else []
                loc = ("body", "inputs", place, "data", *row)
            name = f"{cut(one['loc'][3])} " if one["type"] == "missing" and len(one["loc"]) > 3 else ""
            found.append({**one, "type": "tensor", "msg": f"{name}{describe(one)}", "loc": loc})
        raise RequestValidationError(found) from None


def rows(tensors: Sequence[Tensor], fields: Columns) -> list[dict[str, Any]]:
    """Converts one tensor per field to one object per input.

    Raises:
        Refusal: 422 if data and shape disagree, or the tensors have unequal numbers of rows.
    """
    count = tensors[0].shape[0]
    found: list[dict[str, Any]] = [{} for _ in range(min(count, len(tensors[0].data)))]
    for place, tensor in enumerate(tensors):
        if tensor.shape[0] != count:
            raise tensor_error(place, "shape", f"has {tensor.shape[0]} rows, but {tensors[0].name!r} has {count}")
        values = batched(tensor, place)
        if tensor.datatype == "BYTES":
            values = [from_text(one, tensor.name, fields) for one in values]
        for row, one in zip(found, values, strict=True):
            if one is not None:
                row[tensor.name] = one
    return found


def batched(tensor: Tensor, place: int) -> list[Any]:
    """The tensor's rows as nested lists. Data may come flat or nested."""
    flat = list(flattened(tensor.data, place))
    if len(flat) != math.prod(tensor.shape):
        detail = f"has {len(flat)} values, but shape {tensor.shape} needs {math.prod(tensor.shape)}"
        raise tensor_error(place, "data", detail)
    for size in reversed(tensor.shape[1:]):
        if not size:
            return [[] for _ in range(tensor.shape[0])]
        flat = [flat[start : start + size] for start in range(0, len(flat), size)]
    return flat


def flattened(data: list[Any], place: int, depth: int = 0) -> Any:
    """The values, row by row. Raises: Refusal: 422, an object, or deeper than MAX_DIMENSIONS."""
    if depth > MAX_DIMENSIONS:
        raise tensor_error(place, "data", f"nested deeper than {MAX_DIMENSIONS} dimensions")
    for one in data:
        if isinstance(one, list):
            yield from flattened(one, place, depth + 1)
        elif isinstance(one, dict):
            raise tensor_error(place, "data", "holds an object; send its JSON as BYTES")
        else:
            yield one


def from_text(text: Any, name: str, fields: Columns) -> Any:
    """Decodes values sent as text, because they are no tensor or their column has nulls, to the field's type."""
    if not isinstance(text, str) or name not in fields.kinds:
        return text
    return None if text == "null" and name not in fields.required else fields.value(name, text)


def tensor_error(place: int, member: str, detail: str) -> Refusal:
    """A 422 that points at one member of one tensor."""
    errors = [{"pointer": f"#/inputs/{place}/{member}", "detail": detail}]
    return Refusal(422, f"inputs/{place}/{member}: {detail}", errors=errors)


# ---------------------------------------------------------------- tensors out


def columns(outputs: Sequence[dict[str, Any]], wanted: list[str]) -> list[dict[str, Any]]:
    """Converts one object per output to one tensor per field.

    Raises:
        Refusal: 422 for a requested name that no output has.
    """
    names = list(dict.fromkeys(name for output in outputs for name in output))
    for place, name in enumerate(wanted):
        if name not in names:
            detail = f"no output is named {cut(name)!r}; outputs: {', '.join(names)}"
            raise Refusal(
                422,
                f"outputs/{place}/name: {detail}",
                errors=[{"pointer": f"#/outputs/{place}/name", "detail": detail}],
            )
    return [column(name, [output.get(name) for output in outputs]) for name in wanted or names]


def column(name: str, values: list[Any]) -> dict[str, Any]:
    """A tensor [n, ...] of the values of n outputs; BYTES if they have no common shape or type."""
    try:
        array = np.array(values)
    except ValueError:  # ragged lists
        array = np.array(None)
    if array.dtype.kind in OF_KIND:
        return {
            "name": name,
            "shape": list(array.shape),
            "datatype": OF_KIND[array.dtype.kind],
            "data": array.ravel().tolist(),
        }
    if all(isinstance(value, str) for value in values):
        texts = values
    else:
        texts = [json.dumps(value, ensure_ascii=False) for value in values]
    return {"name": name, "shape": [len(texts)], "datatype": "BYTES", "data": texts}
