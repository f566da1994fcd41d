"""Runs an exported text encoder: a tokenizer, and a graph from tokens to logits and sentence vectors."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from roadmap.inference.text import batches

if TYPE_CHECKING:
    from onnxruntime import InferenceSession
    from tokenizers import Encoding, Tokenizer


class Encoded(NamedTuple):
    logits: np.ndarray  # [n, classes]
    vectors: np.ndarray  # [n, width], of length 1


class Encoder:
    """
    Args:
        tokenizer: with its special tokens; truncates, and does not pad.
        session: tokens int64 [n, t], seen bool [n, t] -> logits [n, classes], vectors [n, width]
        alone: whether each row is run on its own. int8_dynamic takes the range of its activations over the whole
            batch and its padding, and a text's answer must not depend on the texts beside it.
    """

    def __init__(self, tokenizer: "Tokenizer", session: "InferenceSession", alone: bool) -> None:
        self.tokenizer, self.session, self.alone = tokenizer, session, alone

    def read(self, texts: Sequence[str]) -> list["Encoding"]:
        return list(self.tokenizer.encode_batch(list(texts)))

    def __call__(self, rows: Sequence[Sequence[int]]) -> Encoded:
        """rows: the token ids of n texts"""
        lengths = [len(row) for row in rows]
        groups = [[row] for row in range(len(rows))] if self.alone else batches(lengths)
        parts = []
        for group in groups:
            sizes = np.array([lengths[row] for row in group])
            seen = np.arange(sizes.max()) < sizes[:, None]
            tokens = np.zeros(seen.shape, np.int64)
            tokens[seen] = np.concatenate([rows[row] for row in group])
            parts.append(self.run(tokens, seen))
        back = np.argsort(np.concatenate(groups))
        return Encoded(*(np.concatenate(columns)[back] for columns in zip(*parts, strict=True)))

    def run(self, tokens: np.ndarray, seen: np.ndarray) -> Encoded:
        """tokens: int64 [n, t], seen: bool [n, t]"""
        return Encoded(*self.session.run(["logits", "vectors"], {"tokens": tokens, "seen": seen}))

    def logits_without(self, row: Sequence[int], seen: np.ndarray) -> np.ndarray:
        """A text with tokens left out, several times. row: [t] ids, seen: bool [n, t] -> logits [n, classes]

        The others keep their positions: what is left out is attended to by none.
        """
        size = 1 if self.alone else max(1, 2_048 // len(row))
        tokens = np.array(row, np.int64)[None]
        parts = (seen[start : start + size] for start in range(0, len(seen), size))
        return np.concatenate([self.run(np.repeat(tokens, len(part), axis=0), part).logits for part in parts])
