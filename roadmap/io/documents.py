"""JSON files that one stage writes and another reads: of the expected shape, or one line that says what is wrong."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, overload

from roadmap.io.errors import UsageError
from roadmap.io.json import JsonObject

SHOWN = 60  # characters of what was found


@overload
def read_json(path: Path, shape: type[Mapping[str, object]], remedy: str) -> JsonObject: ...


@overload
def read_json(path: Path, shape: type[Sequence[object]], remedy: str) -> list[JsonObject]: ...


def read_json(path: Path, shape: type[object], remedy: str) -> JsonObject | list[JsonObject]:
    """An object, or a list of objects.

    Args:
        shape: a type as pydantic takes it, such as a TypedDict; further keys are kept.
        remedy: what makes the file anew.

    Raises:
        UsageError: it is missing, unreadable, no JSON, or of another shape.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise UsageError(f"{path}: not there; {remedy}") from None
    except OSError as error:
        raise UsageError(f"{path}: can't be read: {error.strerror}; expected a file; {remedy}") from None
    found: JsonObject | list[JsonObject] = _parsed(content, str(path), shape, remedy)
    return found


@overload
def parse_json(content: bytes | str, where: str, shape: type[Mapping[str, object]], remedy: str) -> JsonObject: ...


@overload
def parse_json(content: bytes | str, where: str, shape: type[Sequence[object]], remedy: str) -> list[JsonObject]: ...


def parse_json(content: bytes | str, where: str, shape: type[object], remedy: str) -> JsonObject | list[JsonObject]:
    """As `read_json`, of a file's content. where: as the message names it"""
    found: JsonObject | list[JsonObject] = _parsed(content, where, shape, remedy)
    return found


def _parsed(content: bytes | str, where: str, shape: type[object], remedy: str) -> Any:
    from pydantic import TypeAdapter, ValidationError  # not for who imports this and reads nothing

    try:
        found = json.loads(content)
    except ValueError as error:
        begin = f"{content[:SHOWN]!r}" if content else "nothing"
        raise UsageError(f"{where}: found {begin}; expected JSON ({error}); {remedy}") from None
    try:
        TypeAdapter(shape).validate_python(found)
    except ValidationError as error:
        first = error.errors()[0]
        place = "".join(f"{part}: " for part in (".".join(map(str, first["loc"])),) if part)
        if first["type"] == "missing":
            raise UsageError(f"{where}: {place}missing; {remedy}") from None
        expected = first["msg"].replace("Input should be", "expected")
        raise UsageError(f"{where}: {place}found {str(first['input'])[:SHOWN]!r}; {expected}; {remedy}") from None
    return found
