"""Refusals, and the words they are made of: below HTTP, since models, keys and batch jobs refuse too.

serving.http.problems renders a Refusal as RFC 9457.
"""

import difflib
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

MAX_ERRORS = 100  # listed in one refusal
MAX_TOKEN = 100  # characters of a caller's word that are said back

# Pydantic's words that a caller who doesn't know Pydantic wouldn't understand.
WORDS = {
    "missing": "is missing",
    "extra_forbidden": "is not a known field",
    "model_type": "should be a JSON object",
    "model_attributes_type": "should be a JSON object",
}


class Refusal(Exception):
    """A request that isn't answered.

    Args:
        status_code: HTTP's: 4xx for what the caller can mend, 503 and 504 for what passes.
        detail: one sentence for the caller.
        headers: of the HTTP response.
        members: extension members of the problem, such as `errors`.
    """

    def __init__(self, status_code: int, detail: str, headers: dict[str, str] | None = None, **members: Any) -> None:
        super().__init__(detail)
        self.status_code, self.detail, self.headers, self.members = status_code, detail, headers, members


def unknown(kind: str, name: str, known: Iterable[str], **members: Any) -> Refusal:
    """404 that helps: the nearest spelling and all there is."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    guess = f"; did you mean {near[0]!r}?" if near else "."
    there = f"There are: {', '.join(names)}" if names else "There is none"
    return Refusal(404, f"no {kind} is named {cut(name)!r}{guess} {there}", **members)


def words(error: Any) -> str:
    """What one of Pydantic's errors (an item of ValidationError.errors()) says, for whoever doesn't know Pydantic."""
    said: str = error["msg"].removeprefix("Input ").removeprefix("Value error, ").replace(" after validation", "")
    return WORDS.get(error["type"], said)


def pointer(parts: Iterable[int | str]) -> str:
    """RFC 6901, as a URI fragment: ("inputs", 0, "a/b") -> "#/inputs/0/a~1b"."""
    tokens = (cut(part).replace("~", "~0").replace("/", "~1") for part in parts)
    return "".join(["#", *("/" + quote(token, safe="!$&'()*+,;=:@", errors="replace") for token in tokens)])


def cut(part: int | str) -> str:
    """At most MAX_TOKEN characters of it."""
    text = str(part)
    return text if len(text) <= MAX_TOKEN else text[:MAX_TOKEN] + "…"
