"""A request reaches a challenger whose request type differs."""

from typing import Any

import pytest
from pydantic import BaseModel, ValidationError, create_model

from serving.runtime.mirror import convert_inputs


def test_inputs_are_converted_for_another_request_type() -> None:
    class Served:
        input_limit = 10

        def __init__(self, **fields: Any) -> None:
            self.request = create_model("asked", **fields)
            self.batch = create_model("batch", inputs=(list[self.request], ...))  # type: ignore[name-defined]

    old, same, new, other = (
        Served(**fields)
        for fields in ({"a": (int, ...)}, {"a": (int, ...)}, {"a": (float, ...), "b": (int, 1)}, {"c": (int, ...)})
    )
    inputs: list[BaseModel] = [old.request(a=3)]
    champion: Any = inputs
    assert convert_inputs(champion, same) is inputs  # type: ignore[arg-type]
    (made,) = convert_inputs(champion, new)  # type: ignore[arg-type]
    assert type(made) is new.request and made.model_dump() == {"a": 3.0, "b": 1}
    with pytest.raises(ValidationError):
        convert_inputs(champion, other)  # type: ignore[arg-type]
