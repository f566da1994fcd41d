"""Errors as RFC 9457 problem details, never a stack trace."""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.types import Scope

from roadmap.io.json import JsonObject
from serving.errors import MAX_ERRORS, Refusal, cut, describe, in_body, pointer

MEDIA_TYPE = "application/problem+json"
# The IANA names; Python has them from 3.13 on.
TITLES = {413: "Content Too Large", 422: "Unprocessable Content", 499: "Client Closed Request"}  # 499 is nginx's
# FastAPI's message if the JSON parser failed with anything but a syntax error.
UNREADABLE = "There was an error parsing the body"


class FieldError(BaseModel):
    """What is wrong with one field of the request."""

    pointer: str = Field(description="JSON pointer into the request body", examples=["#/inputs/0/age"])
    detail: str = Field(description="what was found and what is expected")


class Problem(BaseModel):
    """An error as RFC 9457 defines it. `type` is always about:blank: the status says which kind it is."""

    model_config = ConfigDict(json_schema_extra={"required": ["type", "title", "status", "detail", "instance"]})

    type: str = "about:blank"
    title: str = Field(description="name of the status")
    status: int = Field(description="HTTP status")
    detail: str = Field(description="what failed, and what to do about it")
    instance: str = Field(description="the requested path")
    errors: list[FieldError] = Field(
        default=[], description="the validation errors, if the body doesn't match its schema"
    )
    models: list[str] = Field(default=[], description="the known names, if an unknown one was requested")
    request_id: str | None = Field(default=None, description="the id in the server's log")


def response(
    scope: Scope, status: int, detail: str, headers: Mapping[str, str] | None = None, **members: object
) -> Response:
    """The problem as an ASGI response; `members` are its extension members."""
    instance = quote(scope["path"], errors="replace")
    content = {"type": "about:blank", "title": title(status), "status": status, "detail": detail, "instance": instance}
    if scope["path"].startswith("/v1/"):
        content["message"] = detail  # the member that OpenAI's client puts into its exception
    elif scope["path"].startswith("/v2"):
        content["error"] = detail  # the member that the Open Inference Protocol asks for
    # Half of a surrogate pair is valid in JSON's input but has no UTF-8.
    body = json.dumps(content | members, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace")
    return Response(body, status, headers, MEDIA_TYPE)


def title(status: int) -> str:
    """IANA's name of the status."""
    return TITLES.get(status) or HTTPStatus(status).phrase


def documented(*statuses: int) -> dict[int | str, JsonObject]:
    """The OpenAPI entries of these statuses."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {"default": {"description": "Any other error", "content": content}} | {
        status: {"description": title(status), "content": content} for status in statuses
    }


def install(app: FastAPI) -> None:
    """Renders our own errors, FastAPI's and Starlette's as problems."""
    app.add_exception_handler(Refusal, _refused)
    app.add_exception_handler(HTTPException, _failed)
    app.add_exception_handler(RequestValidationError, _invalid)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    return response(request.scope, error.status_code, error.detail, error.headers, **error.members)


async def _failed(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    detail = error.detail
    if error.status_code == 404 and detail == "Not Found":
        detail = "no such path; /docs lists all paths"
    if detail == UNREADABLE:
        detail = "the body is not readable JSON: not UTF-8, nested too deep, or a number with too many digits"
    if error.status_code == 405:
        detail = f"method {request.method} is not allowed; allowed:  {(error.headers or {}).get('Allow', 'nothing')}"
    return response(request.scope, error.status_code, detail, error.headers)


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    found = error.errors()
    if found[0]["type"] == "json_invalid":
        at = f" (character {found[0]['loc'][-1]})" if isinstance(found[0]["loc"][-1], int) else ""
        return response(request.scope, 400, f"the body is not JSON: {found[0]['ctx']['error']}{at}")
    if error.body is not None:
        found = in_body([{**one, "loc": one["loc"][1:]} for one in found], error.body)
        found = [{**one, "loc": ("body", *one["loc"])} for one in found]
    errors = [_field_error(one) for one in found[:MAX_ERRORS]]
    where = "/".join(cut(part) for part in found[0]["loc"][1:]) or "the body"
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return response(request.scope, 422, f"{where}: {errors[0]['detail']}{more}", errors=errors)


def _field_error(error: Any) -> dict[str, str]:
    """The input is not echoed: it may be long, private, or NaN, which is invalid in JSON."""
    return {"pointer": pointer(error["loc"][1:]), "detail": describe(error)}
