"""JSON files that one stage writes and another reads: of the expected shape, or one line that says what is wrong."""

import json
from pathlib import Path
from typing import Any

from roadmap.io.errors import UsageError

SHOWN = 60  # characters of what was found


def read_json(path: Path, shape: Any, remedy: str) -> Any:
    """
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
    return parse_json(content, str(path), shape, remedy)


def parse_json(content: bytes | str, where: str, shape: Any, remedy: str) -> Any:
    """As `read_json`, of a file's content. where: as the message names it"""
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
