"""House prices: the columns that are watched."""

from collections.abc import Sequence
from typing import Any

from roadmap.monitoring.reference.columns import Columns, table

inputs = table


def answers(found: Sequence[Any]) -> Columns:
    return {"prediction": [answer.prediction for answer in found]}
