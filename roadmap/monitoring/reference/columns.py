"""What is watched: plain columns made of requests and answers, by pipelines/<project>/monitoring.py."""

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel

Column = list[float | str | None]  # numbers, or categories; None where the value is missing
Columns = dict[str, Column]

ANSWER = "answer: "  # what the columns of answers begin with


def watched(watch: Any, requests: Sequence[Any], answers: Sequence[Any]) -> Columns:
    """The columns of `watch.inputs` and `watch.answers`, for requests and answers of a predictor's own types."""
    answered = {f"{ANSWER}{name}": column for name, column in watch.answers(answers).items()}
    return {**watch.inputs(requests), **answered}


def table(requests: Sequence[BaseModel]) -> Columns:
    """The columns of a tabular project as they are."""
    rows = [request.model_dump(by_alias=True) for request in requests]
    return {str(name): [row[name] for row in rows] for name in (rows[0] if rows else ())}
