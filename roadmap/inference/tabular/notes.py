"""What is worth telling of a request that is answered all the same: a level never seen, a field that isn't there."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import BaseModel

from roadmap.bundle.predictor import Note

UNSEEN, ABSENT = "unseen", "absent"


@dataclass(frozen=True)
class Known:
    """What training has seen of a column. levels: of a category, None of a number"""

    levels: frozenset[str] | None
    gaps: bool


def notes_of(request: BaseModel, known: Mapping[str, Known]) -> list[Note]:
    """The request's fields are named by their aliases, which are the columns."""
    found = []
    for name, field in type(request).model_fields.items():
        column, value = field.alias or name, getattr(request, name)
        seen = known[column]
        if value is None:
            given = name in request.model_fields_set
            if not seen.gaps:
                state = "null" if given else "not given"
                found.append(Note(column, ABSENT, f"is {state}, where training had no gap: counts as an average row's"))
            elif not given:
                found.append(Note(column, ABSENT, "is not given: counts as a gap, as rows of training had too"))
        elif seen.levels is not None and value not in seen.levels:
            found.append(Note(column, UNSEEN, _unseen(value, seen.levels)))
    return found


def _unseen(value: str, levels: frozenset[str]) -> str:
    lowered = {one.lower(): one for one in sorted(levels)}
    near = difflib.get_close_matches(value.lower(), lowered, n=1, cutoff=0.5)
    guess = f"; did you mean {lowered[near[0]]!r}?" if near else ""
    return f"{value[:100]!r} was not seen in training: counts as an average row's{guess}"
