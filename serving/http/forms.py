"""Forms, as browsers, `curl -F` and `curl -d` send them: each field belongs to an input, and its text is read like a
table cell. Repeated fields make several inputs."""

import base64
from collections.abc import Collection
from typing import Any
from urllib.parse import parse_qsl

from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from roadmap.inference.tabular.values import clean
from roadmap.io.json import JsonObject
from serving.errors import Place, Refusal, cut, pointer
from serving.http.media import media, utf8_only
from serving.runtime.cells import Columns, cell
from serving.runtime.models import Model

MULTIPART, URLENCODED = "multipart/form-data", "application/x-www-form-urlencoded"
MAX_FILES, MAX_FIELDS, MAX_PART = 64, 4096, 2**20
AS_IT_IS = ("7bit", "8bit", "binary")  # what Content-Transfer-Encoding may say
ESCAPES = {"%22": '"', "%0D": "\r", "%0A": "\n"}  # of names: HTML Standard, multipart/form-data encoding algorithm

Row = JsonObject


class Parts(MultiPartParser):
    """Starlette's parser, which also detects parts in another charset and truncated bodies."""

    ended = False

    def on_headers_finished(self) -> None:
        """Raises: Refusal: 415, a part in another charset or encoding."""
        headers = Headers(raw=self._current_part.item_headers)
        utf8_only(media(headers.get("content-type", ""))[1])
        coding = headers.get("content-transfer-encoding", "binary").lower()
        if coding not in AS_IT_IS:
            raise Refusal(415, f"content-transfer-encoding of a part: found {cut(coding)}; expected binary or none")
        super().on_headers_finished()

    def on_end(self) -> None:
        """The last boundary has come."""
        self.ended = True


async def read(request: Request, columns: Columns, files: Collection[str]) -> list[Row]:
    """The inputs of a form, not validated yet.

    Args:
        columns: the fields of the model's request.
        files: those of them that hold a file, in base64.

    Raises:
        Refusal: 400 the form is damaged, 415 another charset, 422 no UTF-8, or fields that come unequally often.
    """
    kind, options = media(request.headers["content-type"])
    utf8_only(options)
    items = urlencoded(await request.body()) if kind == URLENCODED else await multipart(request)
    given: dict[str, list[str]] = {}
    for raw, value in items:
        name = known(text(raw.encode("latin-1"), ()), columns)
        cells = given.setdefault(name, [])
        if isinstance(value, bytes) and (name in files or name not in columns.kinds):
            cells.append(base64.b64encode(value).decode())
        else:
            if name in files and isinstance(value, str) and kind == URLENCODED and not value.startswith("["):
                value = value.replace(" ", "+")  # base64 whose plus signs nobody has escaped
            encoded = value if isinstance(value, bytes) else value.encode("latin-1")
            cells.append(text(encoded, ("inputs", len(cells), name)))
    if len({len(cells) for cells in given.values()}) > 1:
        counts = ", ".join(f"{cut(name)} {len(cells)} times" for name, cells in given.items())
        said = f"every field must have the same number of values: {counts}"
        raise Refusal(422, said, errors=[{"pointer": "#/inputs", "detail": said}])
    return [fields(dict(zip(given, row, strict=True)), columns) for row in zip(*given.values(), strict=True)]


def urlencoded(body: bytes) -> list[tuple[str, str]]:
    """Names and values as Latin-1, which preserves all bytes. Raises: Refusal: 400 too many fields, 415 JSON."""
    if body.lstrip()[:1] in (b"{", b"["):
        raise Refusal(415, f"send JSON as application/json; this body came as {URLENCODED}")
    try:
        return parse_qsl(body.decode("latin-1"), True, encoding="latin-1", max_num_fields=MAX_FIELDS)
    except ValueError:
        raise Refusal(400, f"the form has more than {MAX_FIELDS} fields; send fewer inputs per request") from None


async def multipart(request: Request) -> list[tuple[str, str | bytes]]:
    """Names and values as Latin-1; a file's content as bytes. Raises: Refusal: 400, damaged or truncated."""
    headers = Headers({"content-type": request.headers["content-type"] + "; charset=latin-1"})
    limits: dict[str, Any] = {"max_files": MAX_FILES, "max_fields": MAX_FIELDS, "max_part_size": MAX_PART}
    parts = Parts(headers, request.stream(), **limits)
    try:
        form = await parts.parse()
    except MultiPartException as error:
        raise Refusal(400, f"the form can't be read: {error.message}") from None
    try:
        if not parts.ended:
            raise Refusal(400, "the form is truncated: its last boundary is missing")
        return [(name, await one.read() if isinstance(one, UploadFile) else one) for name, one in form.multi_items()]
    finally:
        await form.close()


def text(content: bytes, place: Place) -> str:
    """Raises: Refusal: 422, not UTF-8."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        said = f"should be text in UTF-8; byte {error.start} is none"
        where = "/".join(map(str, place)) or "the name of a field"
        raise Refusal(422, f"{cut(where)}: {said}", errors=[{"pointer": pointer(place), "detail": said}]) from None


def known(name: str, columns: Columns) -> str:
    """The column of this name, which may be padded with blanks, like a table's header."""
    plain = name
    for escape, char in ESCAPES.items():
        plain = plain.replace(escape, char)
    names = (name, clean(name), clean(plain))
    return next((one for one in names if one in columns.kinds or one in columns.left_out), name)


def fields(row: dict[str, str], columns: Columns) -> Row:
    """A row of a form. Unknown names are kept for validation to reject; columns that aren't learnt from are dropped."""
    unknown = {name: cell for name, cell in row.items() if name not in columns.kinds and name not in columns.left_out}
    return {**unknown, **columns.request(row, columns.delimiter)}


# ---------------------------------------------------------------- in the OpenAPI document


def documentation(model: Model) -> JsonObject:
    """The OpenAPI entries of a form body, by media type."""
    specs = model.request.model_json_schema()["properties"]
    example = model.example[0]
    content = {}
    for kind in (MULTIPART, URLENCODED):
        uploads = model.files if kind == MULTIPART else frozenset()
        properties = {
            name: described(spec, model.columns.kinds[name], example.get(name), name in uploads)
            for name, spec in specs.items()
        }
        said = "the fields of an input; fields that come several times make several inputs"
        schema = {"type": "object", "description": said, "properties": properties, "additionalProperties": False}
        content[kind] = {"schema": schema | ({"required": model.columns.required} if model.columns.required else {})}
    return content


def described(spec: Row, kinds: Collection[str], example: object, upload: bool) -> Row:
    """A field's JSON schema in a form: a file, a number, or text, possibly JSON."""
    about: Row = {key: spec[key] for key in ("title", "description", "x-seen") if key in spec}
    if upload:
        return {**about, "type": "string", "format": "binary"}
    shown = {} if example is None else {"example": example}
    choices = [one for one in spec.get("anyOf", [spec]) if one.get("type") != "null"]
    if {"array", "object"} & set(kinds):
        about["description"] = "; ".join([*filter(None, [spec.get("description")]), "a list or an object is its JSON"])
        return {**about, "type": "string", **({"example": cell(example)} if shown else {})}
    if len(choices) > 1:
        return {**about, "type": "string", **shown}
    return {**{key: value for key, value in choices[0].items() if value is not None}, **about, **shown}
