"""Triton's extension binary_tensor_data: tensors as bytes behind the JSON, in requests and in responses.

A header says how many bytes the JSON has. Numbers are little-endian; a text stands behind its length in four bytes.
https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md
"""

import json
import struct
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import numpy as np
from fastapi import Request, Response
from fastapi.routing import APIRoute
from pydantic_core import from_json, to_json
from starlette.types import Message

from roadmap.io.json import JsonObject
from serving.errors import Refusal, cut
from serving.http.kserve.tensors import tensor_error

EXTENSION = "binary_tensor_data"
HEADER = "Inference-Header-Content-Length"
TYPES = {"BOOL": "?", "FP16": "<f2", "FP32": "<f4", "FP64": "<f8"}
TYPES |= {f"{kind}{8 * size}": f"<{kind[0].lower()}{size}" for kind in ("INT", "UINT") for size in (1, 2, 4, 8)}
JSON = (b"content-type", b"application/json")

Scalar = bool | int | float | str  # a value of a tensor
Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class Route(APIRoute):
    """Forwards binary requests as plain JSON, also without a content type: Triton's client sends none."""

    def get_route_handler(self) -> Handler:
        """FastAPI's, of the request as `plain` makes it."""
        handle = super().get_route_handler()

        async def unpacking(request: Request) -> Response:
            return await handle(await plain(request))

        return unpacking


async def plain(request: Request) -> Request:
    """Raises: Refusal: 400, 422, bytes and JSON disagree."""
    length = request.headers.get(HEADER)
    if length is None:
        return request if "content-type" in request.headers else _with(request, request.receive)
    message: Message | None = {"type": "http.request", "body": unpacked(await request.body(), length)}

    async def receive() -> Message:
        nonlocal message
        first, message = message, None
        return first or await request.receive()

    return _with(request, receive)


def _with(request: Request, receive: Callable[[], Any]) -> Request:
    headers = [one for one in request.scope["headers"] if one[0] != JSON[0]]
    return Request({**request.scope, "headers": [*headers, JSON]}, receive)


def unpacked(body: bytes, length: str) -> bytes:
    """The request as JSON, with tensor values in place of their sizes. length: bytes of the JSON, from the header

    Raises:
        Refusal: 400, 422, bytes and JSON disagree.
    """
    at = int(length) if length.isascii() and length.isdigit() and len(length) < 10 else 0
    if not 0 < at <= len(body):
        raise Refusal(400, f"{HEADER}: found {cut(length)}; expected the bytes of the JSON, 1 to {len(body)}")
    try:
        content = from_json(body[:at])
    except ValueError as error:
        raise Refusal(400, f"the first {at} bytes of the body are not JSON: {error}") from None
    tensors = content.get("inputs") if isinstance(content, dict) else None
    for place, tensor in enumerate(tensors if isinstance(tensors, list) else []):
        parameters = tensor.get("parameters") if isinstance(tensor, dict) else None
        size = parameters.get("binary_data_size") if isinstance(parameters, dict) else None
        if size is None:
            continue
        if type(size) is not int or not 0 <= size <= len(body) - at:
            said = f"found {cut(str(size))}; expected at most the {len(body) - at} bytes that are left"
            raise tensor_error(place, "parameters/binary_data_size", said)
        tensor["data"] = values(tensor.get("datatype"), body[at : at + size], place)
        at += size
    if at != len(body):
        raise Refusal(400, f"{len(body) - at} bytes follow the tensors; their binary_data_size must add up to the body")
    return to_json(content, inf_nan_mode="constants")


def values(datatype: object, content: bytes, place: int) -> Sequence[Scalar]:
    """The values of a tensor, flat in row-major order. Raises: Refusal: 422, the bytes don't fit the type."""
    if datatype == "BYTES":
        return texts(content, place)
    kind = np.dtype(TYPES.get(datatype, "V1") if isinstance(datatype, str) else "V1")
    if len(content) % kind.itemsize:
        raise tensor_error(
            place, "parameters/binary_data_size", f"found {len(content)}; values have {kind.itemsize} bytes each"
        )
    return [] if kind.kind == "V" else np.frombuffer(content, kind).tolist()  # an unknown type is refused later


def texts(content: bytes, place: int) -> list[str]:
    """The texts of a BYTES tensor. Raises: Refusal: 422, a text is cut off, or no UTF-8."""
    found = []
    at = 0
    while at < len(content):
        size = int.from_bytes(content[at : at + 4], "little")
        if at + 4 + size > len(content):
            raise tensor_error(place, "data", f"the text at byte {at} is longer than the tensor")
        try:
            found.append(content[at + 4 : at + 4 + size].decode())
        except UnicodeDecodeError:
            raise tensor_error(place, "data", f"text {len(found)} is no UTF-8; a file is sent as its base64") from None
        at += 4 + size
    return found


def response(content: JsonObject, as_bytes: Callable[[str], bool], headers: dict[str, str]) -> Response:
    """An inference response, with these tensors as bytes after its JSON."""
    blobs = []
    for tensor in content["outputs"]:
        if as_bytes(tensor["name"]):
            blobs.append(packed(tensor["datatype"], tensor.pop("data")))
            tensor["parameters"] = {"binary_data_size": len(blobs[-1])}
    said = json.dumps(content, ensure_ascii=False).encode()
    if not blobs:
        return Response(said, media_type="application/json", headers=headers)
    headers = {**headers, HEADER: str(len(said))}
    return Response(b"".join([said, *blobs]), media_type="application/octet-stream", headers=headers)


def packed(datatype: str, data: Sequence[Scalar]) -> bytes:
    """Values, flat, as little-endian bytes; each text behind its length in four bytes."""
    if datatype != "BYTES":
        return np.array(data, TYPES[datatype]).tobytes()
    encoded = [str(text).encode() for text in data]
    return b"".join(part for text in encoded for part in (struct.pack("<I", len(text)), text))
