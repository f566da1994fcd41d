"""Notes on unusual inputs, such as unseen levels: a response field, a header and a counter; 422 if strict."""

import json
from collections.abc import Sequence

from pydantic import BaseModel
from starlette.requests import Request

from roadmap.bundle import Notes
from serving.errors import MAX_ERRORS, Refusal, cut, pointer
from serving.observability import metrics
from serving.runtime.models import Model

HEADER = "X-Notes"  # JSON in ASCII, of the first notes
LONGEST = 1500  # characters of it, lest a proxy refuse the answer
TRUTHS = {"": True, "true": True, "1": True, "false": False, "0": False}

Noted = list[dict[str, str]]


def note(request: Request, model: Model, inputs: Sequence[BaseModel], before: int = 0) -> None:
    """Records notes on these inputs. before: number of inputs of the same request that were noted already

    Raises:
        Refusal: 422, a level that training has not seen, if the caller or the server is strict.
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
    """From ?strict=, else the server's setting. Raises: Refusal: 422, neither true nor false."""
    parameter = request.query_params.get("strict")
    if parameter is None:
        return bool(request.app.state.settings.strict)
    if parameter.lower() not in TRUTHS:
        raise Refusal(422, f"strict: found {cut(parameter)!r}; expected true or false")
    return TRUTHS[parameter.lower()]


def notes(request: Request) -> dict[str, Noted]:
    """The response field, if there are notes."""
    found = request.scope["state"].get("notes")
    return {"notes": found} if found else {}


def headers(request: Request) -> dict[str, str]:
    """The notes as a header, for responses without the field."""
    found = request.scope["state"].get("notes", [])
    shown = len(found)
    while shown and len(note_ := json.dumps(found[:shown])) > LONGEST:
        shown //= 2
    if not found:
        return {}
    return {HEADER: note_ if shown else json.dumps(f"{len(found)} notes")}
