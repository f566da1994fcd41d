"""Bytes per token, and bits per byte: the only unit in which models with different tokenizers compare.

Bits per token fall with smaller tokens and rise with larger ones, whatever the model knows; a byte is the same for all.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from roadmap.tokenizing.kinds import KINDS, Encode, single_bytes

# int [n] train, int [m] test, vocabulary -> probability of each test token, [m]
Model = Callable[[np.ndarray, np.ndarray, int], np.ndarray]


class Text(NamedTuple):
    """Text to learn tokens and a model from, and text to measure on."""

    train: str
    test: str


class Row(NamedTuple):
    """A tokenizer, and for each language bytes per token and bits per byte."""

    kind: str
    vocabulary: int
    bytes_per_token: dict[str, float]
    bits_per_byte: dict[str, float]


def measure(encode: Encode, text: Text, model: Model) -> tuple[float, float]:
    """Bytes per token and bits per byte of the test text."""
    train, test = (np.array(encode(part), np.int64) for part in text)
    size = len(text.test.encode())
    bits = -np.log2(model(train, test, int(max(train.max(), test.max())) + 1)).sum()
    return size / len(test), float(bits) / size


def rows(
    texts: Mapping[str, Text], vocabularies: list[int], model: Model, said: Callable[[str], None] = lambda _: None
) -> list[Row]:
    """One row for single bytes and one for each kind and vocabulary; `said` is told which comes next.

    Tokens are learnt from all languages together, line by line; the model is of each language alone.
    """
    lines = [line for text in texts.values() for line in text.train.splitlines(keepends=True)]
    wanted: list[tuple[str, int, Callable[[list[str], int], Encode]]] = [("bytes", 256, single_bytes)]
    wanted += [(kind, size, make) for kind, make in KINDS.items() for size in vocabularies]
    found = []
    for kind, size, make in wanted:
        said(f"{kind}, {size:,}")
        encode = make(lines, size)
        both = {language: measure(encode, text, model) for language, text in texts.items()}
        found.append(Row(kind, size, {n: b for n, (b, _) in both.items()}, {n: b for n, (_, b) in both.items()}))
    return found
