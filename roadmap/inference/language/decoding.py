"""Runs a language model's decoder.onnx (models/decoders/language_model.py, class Decoder) with its KV cache. No torch.

The texts of a batch are padded on the left and all grow by one token per step. Between two steps texts join, and
finished ones leave. A text that fills the model's context leaves too, drops its older half, is prefilled again and
rejoins.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

CHUNK = 512  # prefill tokens between two steps, so that a long prompt doesn't stall the batch

Choose = Callable[[np.ndarray], int | None]


class KVCache(NamedTuple):
    """The KV cache of a batch.

    logits   after the last token of each, [n, vocab]
    padding  slots before the first token of each, [n]
    past     keys and values of each layer, [n, heads, slots, d]
    """

    logits: np.ndarray
    padding: np.ndarray
    past: list[np.ndarray]

    def keep(self, rows: list[int]) -> "KVCache":
        """Selects rows, without slots that are padding in all of them."""
        padding = self.padding[rows]
        first = padding.min()
        if len(rows) == len(self.padding) and not first:
            return self
        return KVCache(self.logits[rows], padding - first, [cache[rows, :, first:] for cache in self.past])

    def join(self, other: "KVCache") -> "KVCache":
        """Concatenates the rows of both."""
        slots = [cache.past[0].shape[2] for cache in (self, other)]
        n, longest = len(self.padding), max(slots)
        padding = np.concatenate([self.padding + longest - slots[0], other.padding + longest - slots[1]])
        past = []
        for left, right in zip(self.past, other.past, strict=True):
            both = np.zeros((len(padding), left.shape[1], longest, left.shape[3]), np.float32)
            both[:n, :, longest - slots[0] :] = left
            both[n:, :, longest - slots[1] :] = right
            past.append(both)
        return KVCache(np.concatenate([self.logits, other.logits]), padding, past)


class Decoder:
    """Args: an ONNX Runtime session, and the context length in tokens."""

    def __init__(self, session: Any, block: int) -> None:
        self.session, self.block = session, block
        _, _, *past = session.get_inputs()
        self.names = [one.name for one in past]
        self.heads, self.d = past[0].shape[1], past[0].shape[3]
        self.outputs = ["logits", *(name.replace("past", "present") for name in self.names)]
        self.hidden = any(one.name == "hidden" for one in session.get_outputs())

    def read(self, texts: Sequence[Sequence[int]]) -> list[np.ndarray]:
        """The logits after every token of each text: [t, vocab] each."""
        return self._unpadded(texts, "logits")

    def embed(self, texts: Sequence[Sequence[int]]) -> list[np.ndarray]:
        """The last hidden states at every token of each text: [t, width] each. Only if `hidden`."""
        return self._unpadded(texts, "hidden")

    def _unpadded(self, texts: Sequence[Sequence[int]], output: str) -> list[np.ndarray]:
        tokens, padding = padded(texts)
        (found,) = self.run([output], tokens, padding, self.nothing(len(texts)))
        return [row[gap:] for row, gap in zip(found, padding, strict=True)]

    def start(self, texts: Sequence[Sequence[int]]) -> KVCache:
        tokens, padding = padded(texts)
        return self.go_on(KVCache(np.empty((0, 0)), padding, self.nothing(len(texts))), tokens)

    def go_on(self, cache: KVCache, tokens: np.ndarray) -> KVCache:
        """tokens: int [n, t], the next ones of each text"""
        logits, *past = self.run(self.outputs, tokens, cache.padding, cache.past)
        return KVCache(logits[:, -1], cache.padding, past)

    def nothing(self, n: int) -> list[np.ndarray]:
        """The keys and values of no tokens: [n, heads, 0, width of a head] each."""
        return [np.zeros((n, self.heads, 0, self.d), np.float32)] * len(self.names)

    def run(
        self, outputs: list[str], tokens: np.ndarray, padding: np.ndarray, past: list[np.ndarray]
    ) -> list[np.ndarray]:
        """`outputs` of the graph. tokens: int [n, t], padding: int [n], past: [n, heads, t before, width] each"""
        feeds = {"tokens": tokens, "padding": padding, **dict(zip(self.names, past, strict=True))}
        found: list[np.ndarray] = self.session.run(outputs, feeds)
        return found


def padded(texts: Sequence[Sequence[int]]) -> tuple[np.ndarray, np.ndarray]:
    """-> tokens: int [n, longest], left-padded with zeros; padding: int [n]"""
    longest = max(map(len, texts))
    padding = np.array([longest - len(text) for text in texts])
    return np.array([[0] * gap + list(text) for gap, text in zip(padding, texts, strict=True)]), padding


class Text:
    """One text of a batch. `choose` maps logits [vocab] to the next token, None at the end."""

    def __init__(self, tokens: Sequence[int], choose: Choose) -> None:
        self.tokens, self.choose = list(tokens), choose
        self.begun: KVCache | None = None  # of a long prompt during its prefill
        self.error: Exception | None = None  # raised by `choose`; it ends the text


class DecodingBatch:
    """Texts that are decoded together."""

    def __init__(self, decoder: Decoder) -> None:
        self.decoder = decoder
        self.unread: list[Text] = []
        self.texts: list[Text] = []
        self.cache: KVCache | None = None

    def __len__(self) -> int:
        return len(self.unread) + len(self.texts)

    def add(self, tokens: Sequence[int], choose: Choose) -> Text:
        text = Text(tokens[-self.decoder.block :], choose)
        self.unread.append(text)
        return text

    def drop(self, text: Text) -> None:
        if text in self.unread:
            self.unread.remove(text)
        elif text in self.texts:
            self._keep([row for row, one in enumerate(self.texts) if one is not text])

    def step(self) -> list[Text]:
        """Prefills a chunk of the joined texts, then samples a token for every text that is ready. Returns these."""
        if self.unread:
            self._read()
        if self.cache is None:
            return []
        texts, staying = self.texts, []
        for row, (text, logits) in enumerate(zip(texts, self.cache.logits, strict=True)):
            try:
                token = text.choose(logits)
            except Exception as error:  # fails this text alone
                text.error, token = error, None
            if token is None:
                continue
            text.tokens.append(token)
            if len(text.tokens) > self.decoder.block:
                self.unread.append(text)
                text.tokens = text.tokens[-(self.decoder.block // 2) :]
            else:
                staying.append(row)
        self._keep(staying)
        if self.cache is not None:
            self.cache = self.decoder.go_on(self.cache, np.array([[text.tokens[-1]] for text in self.texts]))
        return texts

    def _keep(self, rows: list[int]) -> None:
        self.texts = [self.texts[row] for row in rows]
        self.cache = self.cache.keep(rows) if self.cache is not None and rows else None

    def _read(self) -> None:
        first = self.unread[0]
        if len(first.tokens) > CHUNK:
            known = first.begun.past[0].shape[2] if first.begun else 0
            part = first.tokens[known : known + CHUNK]
            first.begun = (
                self.decoder.go_on(first.begun, np.array([part])) if first.begun else self.decoder.start([part])
            )
            if known + len(part) < len(first.tokens):
                return
            come, cache, first.begun = [first], first.begun, None
        else:
            come, longest = [], 0
            for text in self.unread:
                longest = max(longest, len(text.tokens))
                if longest * (len(come) + 1) > CHUNK:
                    break
                come.append(text)
            cache = self.decoder.start([text.tokens for text in come])
        del self.unread[: len(come)]
        self.texts = self.texts + come
        self.cache = self.cache.join(cache) if self.cache is not None else cache
