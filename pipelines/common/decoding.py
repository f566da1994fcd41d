"""Runs a language model's decoder.onnx (models/gpt.py, class Decoder) with its cache of keys and values. No torch.

Texts of a batch stand in the same slots, shorter ones behind padding, and all grow by one token per step. One that ends
leaves the batch. When the longest fills the model's context, it forgets its older half, and the batch is read anew.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

Choose = Callable[[int, np.ndarray], int | None]


class Decoder:
    """Args: an ONNX Runtime session, and the longest context in tokens."""

    def __init__(self, session: Any, block: int) -> None:
        self.session, self.block = session, block
        _, _, *past = session.get_inputs()
        self.names = [one.name for one in past]
        self.heads, self.d = past[0].shape[1], past[0].shape[3]

    def read(self, texts: Sequence[Sequence[int]]) -> list[np.ndarray]:
        """The logits after every token of each text: [t, vocab] each."""
        logits, padding, _ = self._prefill(texts)
        return [row[gap:] for row, gap in zip(logits, padding, strict=True)]

    def write(self, texts: Sequence[Sequence[int]], choose: Choose) -> Iterator[None]:
        """Lets `choose(text's number, logits [vocab])` continue each text until it says None; yields after each."""
        contexts = {number: list(text[-self.block :]) for number, text in enumerate(texts)}
        logits, padding, past = self._prefill(list(contexts.values()))
        while True:
            chosen = {n: choose(n, row[-1]) for n, row in zip(contexts, logits, strict=True)}
            yield
            kept = [place for place, token in enumerate(chosen.values()) if token is not None]
            contexts = {n: [*contexts[n], token] for n, token in chosen.items() if token is not None}
            if not contexts:
                return
            if max(map(len, contexts.values())) > self.block:
                half = self.block // 2
                contexts = {n: text[-half:] if len(text) > self.block else text for n, text in contexts.items()}
                logits, padding, past = self._prefill(list(contexts.values()))
                continue
            if len(kept) < len(padding):
                padding, past = padding[kept], [cache[kept] for cache in past]
            tokens = np.array([[text[-1]] for text in contexts.values()])
            logits, past = self._step(tokens, padding, past)

    def _prefill(self, texts: Sequence[Sequence[int]]) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
        longest = max(map(len, texts))
        padding = np.array([longest - len(text) for text in texts])
        tokens = np.array([[0] * gap + list(text) for gap, text in zip(padding, texts, strict=True)])
        nothing = np.zeros((len(texts), self.heads, 0, self.d), np.float32)
        logits, past = self._step(tokens, padding, [nothing] * len(self.names))
        return logits, padding, past

    def _step(
        self, tokens: np.ndarray, padding: np.ndarray, past: list[np.ndarray]
    ) -> tuple[np.ndarray, list[np.ndarray]]:
        feeds = {"tokens": tokens, "padding": padding, **dict(zip(self.names, past, strict=True))}
        logits, *present = self.session.run(None, feeds)
        return logits, present
