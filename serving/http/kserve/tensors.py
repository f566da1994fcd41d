"""Tensors of the Open Inference Protocol as the model's requests, and its responses as tensors.

Numbers are FP64, integers INT64, booleans BOOL, and BYTES is text, including the JSON of values that are no tensor
(ragged lists, objects, nulls).
"""

import json
import math
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

import numpy as np
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field

from roadmap.io.json import JsonObject
from serving.errors import Refusal, cut, describe
from serving.http import predict
from serving.runtime.cells import Columns
from serving.runtime.models import Model, RequestBody

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


# ---------------------------------------------------------------- tensors in


def validated(model: Model, tensors: Sequence[Tensor]) -> RequestBody:
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


def rows(tensors: Sequence[Tensor], fields: Columns) -> list[JsonObject]:
    """Converts one tensor per field to one object per input.

    Raises:
        Refusal: 422 if data and shape disagree, or the tensors have unequal numbers of rows.
    """
    count = tensors[0].shape[0]
    found: list[JsonObject] = [{} for _ in range(min(count, len(tensors[0].data)))]
    for place, tensor in enumerate(tensors):
        if tensor.shape[0] != count:
            raise tensor_error(place, "shape", f"has {tensor.shape[0]} rows, but {tensors[0].name!r} has {count}")
        if tensor.name in [other.name for other in tensors[:place]]:
            raise tensor_error(place, "name", f"{cut(tensor.name)!r} is the name of an earlier tensor too")
        values = batched(tensor, place, scalar="array" not in fields.kinds.get(tensor.name, ["array"]))
        if tensor.datatype == "BYTES":
            values = [from_text(one, tensor.name, fields) for one in values]
        for row, one in zip(found, values, strict=True):
            if one is not None:
                row[tensor.name] = one
    return found


def batched(tensor: Tensor, place: int, scalar: bool = False) -> list[object]:
    """The tensor's n rows as nested lists of its `shape`. Data may come flat or nested.

    scalar: the field is no list, so that [n, 1] is [n], as MLServer and Triton have a column

    Raises:
        Refusal: 422, data and shape disagree.
    """
    flat = list(flattened(tensor.data, place))
    if len(flat) != math.prod(tensor.shape):
        detail = f"has {len(flat)} values, but shape {tensor.shape} needs {math.prod(tensor.shape)}"
        raise tensor_error(place, "data", detail)
    if scalar and set(tensor.shape[1:]) == {1}:
        return flat
    for size in reversed(tensor.shape[1:]):
        if not size:
            return [[] for _ in range(tensor.shape[0])]
        flat = [flat[start : start + size] for start in range(0, len(flat), size)]
    return flat


def flattened(data: Sequence[object], place: int, depth: int = 0) -> Iterator[object]:
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


def from_text(text: object, name: str, fields: Columns) -> object:
    """Decodes values sent as text, because they are no tensor or their column has nulls, to the field's type."""
    if not isinstance(text, str) or name not in fields.kinds:
        return text
    return None if text == "null" and name not in fields.required else fields.value(name, text)


def tensor_error(place: int, member: str, detail: str) -> Refusal:
    """A 422 that points at one member of one tensor."""
    errors = [{"pointer": f"#/inputs/{place}/{member}", "detail": detail}]
    return Refusal(422, f"inputs/{place}/{member}: {detail}", errors=errors)


# ---------------------------------------------------------------- tensors out


def columns(outputs: Sequence[JsonObject], wanted: list[str]) -> list[JsonObject]:
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


def column(name: str, values: Sequence[object]) -> JsonObject:
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
