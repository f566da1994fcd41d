"""Titanic: the columns that are watched."""

from collections.abc import Sequence
from typing import Any

from roadmap.monitoring.reference.columns import Columns, table

inputs = table


def answers(found: Sequence[Any]) -> Columns:
    return {"label": [answer.label for answer in found], "probability": [answer.probability for answer in found]}
