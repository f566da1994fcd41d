"""Runs a language model's decoder.onnx (models/gpt.py, class Decoder) with its cache of keys and values. No torch.

Texts of a batch end in the same slot, shorter ones behind padding, and all grow by one token per step. One that ends
leaves the batch. One that fills the model's context leaves it too, forgets its older half, is read anew and comes back.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

Choose = Callable[[int, np.ndarray], int | None]


class Texts(NamedTuple):
    """A batch between two steps.

    logits   after the last token of each, [n, vocab]
    padding  slots before the first token of each, [n]
    past     keys and values of each layer, [n, heads, slots, d]
    """

    logits: np.ndarray
    padding: np.ndarray
    past: list[np.ndarray]

    def keep(self, rows: list[int]) -> "Texts":
        """These rows alone, without slots that are padding in all of them."""
        padding = self.padding[rows]
        first = padding.min()
        if len(rows) == len(self.padding) and not first:
            return self
        return Texts(self.logits[rows], padding - first, [cache[rows, :, first:] for cache in self.past])

    def join(self, other: "Texts") -> "Texts":
        """These rows, then the other's."""
        slots = [texts.past[0].shape[2] for texts in (self, other)]
        gaps = [max(slots) - own for own in slots]
        padding = np.concatenate([self.padding + gaps[0], other.padding + gaps[1]])
        wider = [
            [np.pad(c, ((0, 0), (0, 0), (gap, 0), (0, 0))) for c in texts.past]
            for texts, gap in zip((self, other), gaps, strict=True)
        ]
        past = [np.concatenate(pair) for pair in zip(*wider, strict=True)]
        return Texts(np.concatenate([self.logits, other.logits]), padding, past)


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
        batch = self._start(list(contexts.values()))
        while True:
            chosen = {n: choose(n, logits) for n, logits in zip(contexts, batch.logits, strict=True)}
            yield
            grown = {n: [*contexts[n], token] for n, token in chosen.items() if token is not None}
            if not grown:
                return
            full = {n: text[-(self.block // 2) :] for n, text in grown.items() if len(text) > self.block}
            contexts = {n: text for n, text in grown.items() if n not in full}
            parts = []
            if contexts:
                batch = batch.keep([row for row, n in enumerate(chosen) if n in contexts])
                logits, past = self._step(
                    np.array([[text[-1]] for text in contexts.values()]), batch.padding, batch.past
                )
                parts.append(Texts(logits[:, -1], batch.padding, past))
            if full:
                parts.append(self._start(list(full.values())))
                contexts |= full
            batch = parts[0] if len(parts) == 1 else parts[0].join(parts[1])

    def _start(self, texts: Sequence[Sequence[int]]) -> Texts:
        logits, padding, past = self._prefill(texts)
        return Texts(logits[:, -1], padding, past)

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
