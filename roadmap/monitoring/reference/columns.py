"""Monitored columns: pipelines/<project>/monitoring.py derives them from requests and responses."""

from collections.abc import Sequence

from pydantic import BaseModel

Column = list[float | str | None]  # numbers or categories; None for missing values
Columns = dict[str, Column]

OUTPUT_PREFIX = "answer: "  # prefix of the columns of responses


def monitored_columns(inputs: Columns, outputs: Columns) -> Columns:
    """Input and output columns in one table; the names of the latter begin with ANSWER."""
    return {**inputs, **{f"{OUTPUT_PREFIX}{name}": column for name, column in outputs.items()}}


def table(requests: Sequence[BaseModel]) -> Columns:
    """The columns of a tabular project, unchanged."""
    rows = [request.model_dump(by_alias=True) for request in requests]
    return {str(name): [row[name] for row in rows] for name in (rows[0] if rows else ())}
