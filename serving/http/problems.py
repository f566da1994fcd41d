"""Every refusal over HTTP is an RFC 9457 problem: what went wrong in words, never a stack trace."""

import difflib
import itertools
import json
import logging
import re
import uuid
import zlib
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException as AnyHTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MEDIA_TYPE = "application/problem+json"
MAX_ERRORS = 100  # listed in one problem
MAX_TOKEN = 100  # characters of a key that are said back

# The IANA names; Python has them from 3.13 on.
TITLES = {413: "Content Too Large", 422: "Unprocessable Content", 499: "Client Closed Request"}  # the last is nginx's
# Pydantic's words that a caller who doesn't know Pydantic wouldn't understand.
WORDS = {
    "missing": "is missing",
    "extra_forbidden": "is not a known field",
    "model_type": "should be a JSON object",
    "model_attributes_type": "should be a JSON object",
}
# FastAPI's own, when the JSON parser gave up with another error than a syntax error.
UNREADABLE = "There was an error parsing the body"
SANE_ID = re.compile(r"[\x21-\x7e][\x20-\x7e]{0,127}")

log = logging.getLogger("serving")


class FieldError(BaseModel):
    pointer: str = Field(description="JSON pointer into the request body", examples=["#/inputs/0/age"])
    detail: str


class Problem(BaseModel):
    """RFC 9457. `type` is always about:blank: status and title say the kind, detail says the rest."""

    model_config = ConfigDict(json_schema_extra={"required": ["type", "title", "status", "detail", "instance"]})

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    instance: str = Field(description="the path that was asked for")
    errors: list[FieldError] = Field(default=[], description="one by one, where the body doesn't fit its schema")
    models: list[str] = Field(default=[], description="the known names, where an unknown one was asked for")
    request_id: str | None = Field(default=None, description="to be found in the server's log")


class Refusal(HTTPException):
    """Raised anywhere under a route; `members` are extension members of the problem."""

    def __init__(self, status: int, detail: str, headers: dict[str, str] | None = None, **members: Any) -> None:
        super().__init__(status, detail, headers)
        self.members = members


def unknown(kind: str, name: str, known: Iterable[str], **members: Any) -> Refusal:
    """404 that helps: the nearest spelling and all there is."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    guess = f"; did you mean {near[0]!r}?" if near else "."
    there = f"There are: {', '.join(names)}" if names else "There is none"
    return Refusal(404, f"no {kind} is named {cut(name)!r}{guess} {there}", **members)


def response(scope: Scope, status: int, detail: str, headers: Any = None, **members: Any) -> Response:
    title = TITLES.get(status) or HTTPStatus(status).phrase
    instance = quote(scope["path"], errors="replace")
    content = {"type": "about:blank", "title": title, "status": status, "detail": detail, "instance": instance}
    if scope["path"].startswith("/v1/"):
        content["message"] = detail  # the member that OpenAI's client puts into its exception
    # Half of a surrogate pair is valid in JSON's input but has no UTF-8.
    body = json.dumps(content | members, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace")
    return Response(body, status, headers, MEDIA_TYPE)


def json_only(request: Request) -> None:
    """FastAPI would take a body of another type for a string and call that the fault."""
    sent = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if sent != "application/json" and not (sent.startswith("application/") and sent.endswith("+json")):
        came = f"as {cut(sent)}" if sent else "without a content type"
        raise Refusal(415, f"send the body as application/json; this one came {came}")


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What OpenAPI shall say of these statuses."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    said = {status: TITLES.get(status) or HTTPStatus(status).phrase for status in statuses}
    return {"default": {"description": "Problem", "content": content}} | {
        status: {"description": title, "content": content} for status, title in said.items()
    }


def install(app: FastAPI, max_body: int) -> None:
    app.add_exception_handler(AnyHTTPException, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_middleware(Body, most=max_body)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, AnyHTTPException)
    detail, members = error.detail, getattr(error, "members", {})
    if error.status_code == 404 and not members and detail == "Not Found":
        detail = "there is nothing here; /docs lists what there is"
    if detail == UNREADABLE:
        detail = "the body can't be read as JSON: not UTF-8, nested too deep, or a number of too many digits"
    if error.status_code == 405:
        detail = f"{request.method} is not allowed here; allowed: {(error.headers or {}).get('Allow', 'nothing')}"
    return response(request.scope, error.status_code, detail, error.headers, **members)


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    found = error.errors()
    if found[0]["type"] == "json_invalid":
        at = f" (character {found[0]['loc'][-1]})" if isinstance(found[0]["loc"][-1], int) else ""
        return response(request.scope, 400, f"the body is not JSON: {found[0]['ctx']['error']}{at}")
    errors = [_field_error(one) for one in found[:MAX_ERRORS]]
    where = "/".join(cut(part) for part in found[0]["loc"][1:]) or "the body"
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return response(request.scope, 422, f"{where}: {errors[0]['detail']}{more}", errors=errors)


def _field_error(error: Any) -> dict[str, str]:
    """The input itself is not said back: it may be long, private, or NaN, which JSON can't hold."""
    return {"pointer": pointer(error["loc"][1:]), "detail": words(error)}


def words(error: Any) -> str:
    """What one of pydantic's errors says, for whoever doesn't know pydantic."""
    said = error["msg"].removeprefix("Input ").removeprefix("Value error, ").replace(" after validation", "")
    return WORDS.get(error["type"], said)


def pointer(parts: Iterable[int | str]) -> str:
    """RFC 6901, as a URI fragment: ("inputs", 0, "a/b") -> "#/inputs/0/a~1b"."""
    tokens = (cut(part).replace("~", "~0").replace("/", "~1") for part in parts)
    return "".join(["#", *("/" + quote(token, safe="!$&'()*+,;=:@", errors="replace") for token in tokens)])


START, COUNTER = uuid.uuid4().hex[:20], itertools.count()


def fresh_id() -> str:
    """32 hexadecimal digits that come once. Not random each: asking the system for randomness takes longer than many an
    answer, and nothing hangs on an id that is hard to guess."""
    return f"{START}{next(COUNTER):012x}"


def cut(part: int | str) -> str:
    text = str(part)
    return text if len(text) <= MAX_TOKEN else text[:MAX_TOKEN] + "…"


class RequestId:
    """X-Request-ID on every response, and what nobody caught becomes a logged 500."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        key = given if SANE_ID.fullmatch(given) else fresh_id()
        scope.setdefault("state", {})["request_id"] = key
        started = False

        async def send_with_id(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                MutableHeaders(scope=message)["X-Request-ID"] = key
            await send(message)

        try:
            await self.app(scope, receive, send_with_id)
        except Exception:
            log.exception("request %s: %s %r failed", key, scope["method"], scope["path"])
            if started:
                raise
            detail = "the server failed; its log has the reason under this request id"
            await response(scope, 500, detail, request_id=key)(scope, receive, send_with_id)


class Body:
    """What arrives: unpacked from gzip, and 413 where it is too large, by the declared length before a byte is read."""

    def __init__(self, app: ASGIApp, most: int) -> None:
        self.app, self.most = app, most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        declared = packing = b""
        for name, value in scope["headers"]:
            if name == b"content-length":
                declared = value
            elif name == b"content-encoding":
                packing = value.strip().lower()
        if declared.isdigit() and int(declared[:20]) > self.most:
            await response(scope, 413, self._too_large())(scope, receive, send)
        elif packing in (b"", b"identity", b"gzip"):
            await self.app(scope, self._counted(receive, zlib.decompressobj(31) if packing == b"gzip" else None), send)
        else:
            detail = f"a body packed as {cut(packing.decode('latin-1'))} is not read here; send it plain or as gzip"
            await response(scope, 415, detail, {"Accept-Encoding": "gzip"})(scope, receive, send)

    def _too_large(self) -> str:
        return f"the body is larger than {self.most // 2**20} MiB; send fewer inputs per request"

    def _counted(self, receive: Receive, unpacker: Any) -> Receive:
        arrived = 0

        async def counted() -> Message:
            nonlocal arrived
            message = await receive()
            if message["type"] == "http.request":
                if unpacker is not None:
                    message = {**message, "body": self._unpacked(unpacker, message, self.most + 1 - arrived)}
                arrived += len(message.get("body", b""))
                if arrived > self.most:
                    raise Refusal(413, self._too_large())
            return message

        return counted

    @staticmethod
    def _unpacked(unpacker: Any, message: Message, most: int) -> bytes:
        """At most so many bytes, however many are in it."""
        try:
            plain: bytes = unpacker.decompress(message.get("body", b""), most)
        except zlib.error as error:
            raise Refusal(400, f"the body says it is gzip and is not: {error}") from None
        if not message.get("more_body") and len(plain) < most and not unpacker.eof:
            raise Refusal(400, "the body's gzip ends in the middle")
        return plain
