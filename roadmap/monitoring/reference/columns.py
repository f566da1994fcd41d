"""What is watched: plain columns made of requests and answers, by pipelines/<project>/monitoring.py."""

from collections.abc import Sequence

from pydantic import BaseModel

Column = list[float | str | None]  # numbers, or categories; None where the value is missing
Columns = dict[str, Column]

ANSWER = "answer: "  # what the columns of answers begin with


def watched(inputs: Columns, answers: Columns) -> Columns:
    """Both as one table, of which the answers' names begin with ANSWER."""
    return {**inputs, **{f"{ANSWER}{name}": column for name, column in answers.items()}}


def table(requests: Sequence[BaseModel]) -> Columns:
    """The columns of a tabular project as they are."""
    rows = [request.model_dump(by_alias=True) for request in requests]
    return {str(name): [row[name] for row in rows] for name in (rows[0] if rows else ())}
