"""What of a request its model has never seen: a field `notes` of the answer, a header, a counter; 422 where strict."""

import json
from collections.abc import Sequence
from typing import Any

from starlette.requests import Request

from roadmap.bundle import Notes
from serving.errors import MAX_ERRORS, Refusal, cut, pointer
from serving.observability import metrics
from serving.runtime.models import Model

HEADER = "X-Notes"  # JSON in ASCII, of the first notes
LONGEST = 1500  # characters of it, lest a proxy refuse the answer
TRUTHS = {"": True, "true": True, "1": True, "false": False, "0": False}

Noted = list[dict[str, str]]


def note(request: Request, model: Model, inputs: Sequence[Any], before: int = 0) -> None:
    """Writes down what is worth telling of these inputs. before: inputs of the same request that were noted already

    Raises:
        Refusal: 422, a level that training has never seen, where the caller or the operator is strict.
    """
    if not isinstance(model.predictor, Notes):
        return
    refuse = strict(request)
    found: Noted = []
    unseen: Noted = []
    for place, one in enumerate(inputs, before):
        for field, kind, detail in model.predictor.notes(one):
            metrics.count_note(model.name, kind)
            note_ = {"pointer": pointer(("inputs", place, field)), "detail": detail}
            found.append(note_)
            if kind == "unseen":
                unseen.append(note_)
    if unseen and refuse:
        first = unseen[0]
        more = f" (and {len(unseen) - 1} more)" if len(unseen) > 1 else ""
        raise Refusal(422, f"{first['pointer'][2:]}: {first['detail']}{more}", errors=unseen[:MAX_ERRORS])
    kept = request.scope["state"].get("notes", []) if before else []
    request.scope["state"]["notes"] = [*kept, *found][:MAX_ERRORS]


def strict(request: Request) -> bool:
    """By ?strict=true, else as the server is set."""
    parameter = request.query_params.get("strict")
    if parameter is None:
        return bool(request.app.state.settings.strict)
    if parameter.lower() not in TRUTHS:
        raise Refusal(422, f"strict: found {cut(parameter)!r}; expected true or false")
    return TRUTHS[parameter.lower()]


def notes(request: Request) -> dict[str, Noted]:
    """The answer's field, where there is something to say."""
    found = request.scope["state"].get("notes")
    return {"notes": found} if found else {}


def headers(request: Request) -> dict[str, str]:
    """The same as a header, for answers that have no room for a field."""
    found = request.scope["state"].get("notes", [])
    shown = len(found)
    while shown and len(note_ := json.dumps(found[:shown])) > LONGEST:
        shown //= 2
    if not found:
        return {}
    return {HEADER: note_ if shown else json.dumps(f"{len(found)} notes")}
