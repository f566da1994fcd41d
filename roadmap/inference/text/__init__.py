"""Predictors of one text: what a request may hold, batches by length, contributions of tokens."""

import re

from typing_extensions import TypedDict

MOST = 20_000  # most characters per text
TOKENS = 16_384  # per run of a graph, padding included, to bound its memory


class Contribution(TypedDict):
    """`weight` is the contribution of the token, in its context, to the log-odds."""

    token: str
    start: int
    end: int
    weight: float


def is_blank(text: str) -> bool:
    """Whether nothing is in it but white space and line breaks."""
    return not re.sub(r"(?i)<br\s*/?>", "", text).strip()


def has_words(text: str) -> str:
    """The text unchanged.

    Raises:
        ValueError: it is blank.
    """
    if is_blank(text):
        raise ValueError("should hold more than white space")
    return text


def batches(lengths: list[int], most: int = TOKENS) -> list[list[int]]:
    """Row indices grouped by similar length, so that each run has little padding and at most `most` tokens."""
    groups: list[list[int]] = []
    for row in sorted(range(len(lengths)), key=lambda row: -lengths[row]):
        if not groups or (len(groups[-1]) + 1) * lengths[groups[-1][0]] > most:
            groups.append([])
        groups[-1].append(row)
    return groups
