"""Sentiment: the length and the signs of a text, and how sure the answer is."""

from collections.abc import Sequence
from typing import Any

from roadmap.monitoring.reference.columns import Columns
from roadmap.monitoring.reference.texts import measures


def inputs(requests: Sequence[Any]) -> Columns:
    return measures([request.text for request in requests])


def answers(found: Sequence[Any]) -> Columns:
    return {
        "label": [answer.label for answer in found],
        "probability": [answer.probability for answer in found],
        "characters read": [float(answer.read) for answer in found],
    }
