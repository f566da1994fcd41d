"""Request errors and their messages. Below HTTP, because models, keys and batch jobs raise them too.

serving.http.problems renders a Refusal as RFC 9457.
"""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import quote

MAX_ERRORS = 100  # listed in one response
CLIENT_CLOSED_REQUEST = 499  # nginx's status for a client that disconnected before the response
MAX_TOKEN = 100  # characters of a caller's value that are echoed

Place = tuple[int | str, ...]  # of a value in a JSON document
PydanticError = TypeVar("PydanticError", bound=Mapping[str, object])  # an item of ValidationError.errors()

# Plain English for Pydantic's own terms.
MESSAGES = {
    "missing": "is missing",
    "extra_forbidden": "is not a known field",
    "model_type": "should be a JSON object",
    "model_attributes_type": "should be a JSON object",
}


class Refusal(Exception):
    """The request is rejected or failed.

    Args:
        status_code: HTTP's: 4xx for errors of the caller, 503 and 504 for transient ones.
        detail: one sentence for the caller.
        headers: of the HTTP response.
        members: extension members of the problem, such as `errors`.
    """

    def __init__(self, status_code: int, detail: str, headers: dict[str, str] | None = None, **members: Any) -> None:
        super().__init__(detail)
        self.status_code, self.detail, self.headers, self.members = status_code, detail, headers, members


def unknown(kind: str, name: str, known: Iterable[str], **members: object) -> Refusal:
    """A 404 with the nearest name and all known ones."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    guess = f"; did you mean {near[0]!r}?" if near else "."
    there = f"There are: {', '.join(names)}" if names else "There is none"
    return Refusal(404, f"no {kind} is named {cut(name)!r}{guess} {there}", None, **members)


def describe(error: Mapping[str, object]) -> str:
    """The message of one of Pydantic's errors (an item of ValidationError.errors()), without Pydantic's terms."""
    message = str(error["msg"]).removeprefix("Input ").removeprefix("Value error, ").replace(" after validation", "")
    return MESSAGES.get(str(error["type"]), message)


def in_body(errors: Sequence[PydanticError], body: object) -> list[PydanticError]:
    """Pydantic's errors with `loc` as places of the body, without the names of types that a union adds to them.

    Of a union's types only the one counts that the value comes nearest to: without errors of type, or whose errors lie
    deepest, then the one with the fewest.
    An error of a member that is missing keeps that member's name.
    """
    unions: dict[Place, dict[Place, list[Any]]] = {}  # the union's place -> its type -> errors
    placed: list[Any] = []
    for error in errors:
        place, tags, union = _placed(error, body)
        found = {**error, "loc": place}
        if union is None:
            placed.append(found)
        else:
            unions.setdefault(union, {}).setdefault(tags, []).append(found)
    for types in unions.values():
        nearest = max(types.values(), key=_nearness)
        alike = [some[0] for some in types.values() if len(some) == 1 and some[0]["loc"] == nearest[0]["loc"]]
        if len(nearest) == 1 and len(alike) > 1:
            message = dict.fromkeys(describe(one) for one in alike)
            nearest = [{**nearest[0], "type": "union", "msg": ", or ".join(message)}]
        placed += nearest
    return placed


def _nearness(errors: list[Any]) -> tuple[bool, int, int]:
    fits = not any(one["type"].endswith("_type") for one in errors)
    return fits, max(len(one["loc"]) for one in errors), -len(errors)


def _placed(error: Any, body: Any) -> tuple[Place, Place, Place | None]:
    """-> the place in the body, the tags that are left out of it, and the place of the first union."""
    place: list[int | str] = []
    tags: list[int | str] = []
    union: Place | None = None
    for part in error["loc"]:
        if part in (body if isinstance(body, dict) else range(len(body) if isinstance(body, list) else 0)):
            body = body[part]
        elif error["type"] == "missing" and part == error["loc"][-1]:
            body = None
        else:
            tags.append(part)
            union = tuple(place) if union is None else union
            continue
        place.append(part)
    return tuple(place), tuple(tags), union


def pointer(parts: Iterable[int | str]) -> str:
    """RFC 6901, as a URI fragment: ("inputs", 0, "a/b") -> "#/inputs/0/a~1b"."""
    tokens = (cut(part).replace("~", "~0").replace("/", "~1") for part in parts)
    return "".join(["#", *("/" + quote(token, safe="!$&'()*+,;=:@", errors="replace") for token in tokens)])


def cut(part: int | str) -> str:
    """Truncates to MAX_TOKEN characters."""
    text = str(part)
    return text if len(text) <= MAX_TOKEN else text[:MAX_TOKEN] + "…"
