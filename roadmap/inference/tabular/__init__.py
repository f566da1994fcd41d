"""What the predictors of tabular projects share: a request typed by the bundle's schema, features to ONNX. No torch."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, create_model

from roadmap.bundle import Bundle, Predictor
from roadmap.inference.tabular.features import Columns, Features, from_rows

MAX_TEXT = 200
LARGEST = 1e30  # what features may be made of and still fit float32


def request_model(name: str, columns: dict[str, dict[str, Any]], example: dict[str, Any]) -> type[BaseModel]:
    """A pydantic model with one optional field per column: a gap in a row is a gap for the model too."""
    fields: dict[str, Any] = {}
    for column, spec in columns.items():
        if spec["kind"] == "number":
            said, seen = f"{spec['min']:g} to {spec['max']:g}", [spec["min"], spec["max"]]
            kind: Any = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=-LARGEST, le=LARGEST)]
        else:
            said, seen = ", ".join(spec["levels"][:12]), spec["levels"]
            kind = Annotated[str, Field(max_length=MAX_TEXT)]
        # Columns of a user's own CSV can have any name, so fields are numbered and known by their alias.
        about = Field(
            default=None,
            alias=column,
            description=f"seen in training: {said}",
            json_schema_extra={"x-seen": seen},  # the same for forms: ends of a slider, or choices
        )
        fields[f"column_{len(fields)}"] = (kind | None, about)
    config = ConfigDict(extra="forbid", json_schema_extra={"example": example})
    return create_model(name, __config__=config, **fields)


class TabularPredictor(Predictor):
    """Rows -> derived columns -> features -> one ONNX graph.

    The bundle holds schema.json (the columns), features.json (the fitted step) and model.onnx (x: [n, d] -> y: [n]).
    """

    derive: Callable[[Columns], Columns]

    def __init__(self, bundle: Bundle) -> None:
        self.columns: dict[str, dict[str, Any]] = bundle.json("schema.json")["columns"]
        self.kinds: dict[str, Any] = {name: spec["kind"] for name, spec in self.columns.items()}
        self.features = Features.from_json(bundle.json("features.json"))
        self.session = bundle.session()
        self.Request = request_model(f"{bundle.manifest.project}_request", self.columns, bundle.example[0])

    def outputs(self, inputs: Sequence[BaseModel]) -> np.ndarray:
        """-> float32 [n], what the graph says of each row."""
        rows = [request.model_dump(by_alias=True) for request in inputs]
        x = self.features.transform(type(self).derive(from_rows(rows, self.kinds)))  # [n, d]
        return self.session.run(["y"], {"x": x})[0]
