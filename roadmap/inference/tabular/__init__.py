"""What the predictors of tabular projects share: a request typed by the bundle's schema, features to ONNX. No torch."""

from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, create_model

from roadmap.bundle import Bundle, Predictor
from roadmap.bundle.predictor import Answered
from roadmap.inference.tabular.features import Columns, Features, Kinds, from_rows
from roadmap.inference.tabular.notes import Note, notes_of
from roadmap.inference.tabular.values import GAPS, LARGEST, MAX_TEXT, is_boolean, level
from roadmap.io.json import JsonObject

__all__ = ["LARGEST", "MAX_TEXT", "TabularPredictor", "request_model"]


def request_model(
    name: str, schema: JsonObject, example: JsonObject, features: Features | None = None
) -> type[BaseModel]:
    """A pydantic model with one optional field per column: a gap in a row is a gap for the model too.

    schema: as `prepare` wrote it: `columns`, and how text is read
    features: what training has found of gaps, for the words that say what an absent field means
    """
    reading = schema.get("reading", {})
    gaps = reading.get("gaps", GAPS)
    known = {encoder.column: encoder.gaps for encoder in features.encoders} if features else {}
    fields: dict[str, Any] = {}
    for column, spec in schema["columns"].items():
        if spec["kind"] == "number":
            seen_values, seen = f"{spec['min']:g} to {spec['max']:g}", [spec["min"], spec["max"]]
            kind: Any = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=-LARGEST, le=LARGEST)] | None
        else:
            seen_values, seen = ", ".join(spec["levels"][:12]), spec["levels"]
            kind = _category(spec["levels"], gaps)
        # Columns of a user's own CSV can have any name, so fields are numbered and known by their alias.
        about = Field(
            default=None,
            alias=column,
            description=f"seen in training: {seen_values}; {ABSENT[known.get(column, False)]}",
            json_schema_extra={"x-seen": seen},  # the same for forms: ends of a slider, or choices
        )
        fields[f"column_{len(fields)}"] = (kind, about)
    # For doors that take text: the words that say null, what separates cells, and columns that aren't learnt from.
    extra = {"example": example, "x-gaps": list(gaps), "x-delimiter": reading.get("delimiter", ",")}
    extra["x-left-out"] = [*([schema["target"]] if "target" in schema else []), *schema.get("ignored", {})]
    return create_model(name, __config__=ConfigDict(extra="forbid", json_schema_extra=extra), **fields)


ABSENT = {
    True: "absent or null: a gap, as rows of training had too",
    False: "absent or null: an average row of training, which had no gap here",
}


def _category(levels: Collection[str], gaps: Collection[str]) -> Any:
    """Text as training read it; of a column of truth values JSON's own too."""
    text: Any = Annotated[str, Field(max_length=MAX_TEXT)]
    found = frozenset(levels)
    if is_boolean(found):
        kinds = [{"type": "string", "maxLength": MAX_TEXT}, {"type": "boolean"}, {"type": "null"}]
        return Annotated[text | None, BeforeValidator(partial(_level, found, gaps)), WithJsonSchema({"anyOf": kinds})]
    return Annotated[text | None, BeforeValidator(partial(_level, found, gaps))]


def _level(levels: frozenset[str], gaps: Collection[str], value: Any) -> Any:
    if isinstance(value, bool) and is_boolean(levels):
        return str(value)
    return level(value, levels, gaps) if isinstance(value, str) else value


class TabularPredictor(Predictor[BaseModel, Answered]):
    """Rows -> derived columns -> features -> one ONNX graph.

    The bundle holds schema.json (the columns), features.json (the fitted step) and model.onnx (x: [n, d] -> y: [n]).
    """

    derive: Callable[[Columns], Columns]

    def __init__(self, bundle: Bundle) -> None:
        schema = bundle.json("schema.json")
        self.columns: dict[str, JsonObject] = schema["columns"]
        self.kinds: Kinds = {name: spec["kind"] for name, spec in self.columns.items()}
        self.features = Features.from_json(bundle.json_rows("features.json"))
        self.session = bundle.session()
        self.Request = request_model(f"{bundle.manifest.project}_request", schema, bundle.example[0], self.features)
        self.known = self.features.known({n: spec.get("levels", ()) for n, spec in self.columns.items()})

    def outputs(self, inputs: Sequence[BaseModel]) -> np.ndarray:
        """-> float32 [n], what the graph says of each row."""
        rows = [request.model_dump(by_alias=True) for request in inputs]
        x = self.features.transform(type(self).derive(from_rows(rows, self.kinds)))  # [n, d]
        return self.session.run(["y"], {"x": x})[0]

    def notes(self, request: BaseModel) -> list[Note]:
        """What of a request training has never seen, and what it lacks."""
        return notes_of(request, self.known)
