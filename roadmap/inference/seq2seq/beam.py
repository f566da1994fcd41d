"""Beam search over a decoder with a cache, for several sources at once.

A hypothesis that ends leaves the beam, which is one narrower from then on (Sutskever et al., "Sequence to Sequence
Learning with Neural Networks", 2014, section 3.2); with a beam of 1 this is greedy decoding. Of those that ended the
best is that of the highest log-probability divided by ((5 + length) / 6) ** alpha, the length penalty of Wu et al.,
"Google's Neural Machine Translation System", 2016, equation 14.

The graphs, as models/translation exports them:

    encoder   source [n, s], lengths [n] -> memory_<i>, state_<i>
    decoder   tokens [n], parents [n], memory_<i>, state_<i> -> log_probabilities [n, vocab], attention [n, s] if
              there is one, next_state_<i>; row i goes on from the state of row parents[i]
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

PAD, BEGIN, END = 0, 1, 2
Tensors = dict[str, np.ndarray]


@dataclass(frozen=True)
class Hypothesis:
    """
    tokens      without BEGIN and END
    score       log-probability, END included, divided by the length penalty
    ended       whether it came to END; False where `most` tokens were not enough
    attention   to the source, [tokens, s], END's row left out; None if the network has none or none was asked for
    """

    tokens: list[int]
    score: float
    ended: bool
    attention: np.ndarray | None = None


def length_penalty(tokens: int, alpha: float) -> float:
    """tokens: END included"""
    return float(((5 + tokens) / 6) ** alpha)


class Translator:
    """Args: sessions of the two graphs; tokens that are never written, such as PAD and that of unknown words."""

    def __init__(self, encoder: "InferenceSession", decoder: "InferenceSession", never: Sequence[int]) -> None:
        self.encoder, self.decoder, self.never = encoder, decoder, list(never)
        self.encoded = [one.name for one in encoder.get_outputs()]
        self.decoded = [one.name for one in decoder.get_outputs()]
        self.attends = "attention" in self.decoded
        self.inputs = {one.name for one in decoder.get_inputs()}

    def translate(
        self, sources: Sequence[Sequence[int]], most: Sequence[int], beam: int, alpha: float, attention: bool = False
    ) -> list[list[Hypothesis]]:
        """At most `beam` hypotheses of each source, the best first.

        sources: tokens, at least one each; most: tokens to write for each, END included
        """
        n, longest = len(sources), max(map(len, sources))
        ended: list[list[Hypothesis]] = [[] for _ in sources]
        cache = self._read(sources, beam)
        live = np.arange(n)  # sources whose beams go on
        scores = np.full((n, beam), -np.inf)
        scores[:, 0] = 0.0
        written = np.zeros((n, beam, 0), np.int64)
        seen = np.zeros((n, beam, 0, longest), np.float32)
        tokens, parents = np.full(n * beam, BEGIN), np.arange(n * beam)
        while len(live):
            chances, looked, cache = self._step(tokens, parents, cache, attention)
            total = (scores[:, :, None] + chances.reshape(*scores.shape, -1)).reshape(len(live), -1)
            best = largest(total, beam)
            scores = np.take_along_axis(total, best, axis=1)
            origin, token = np.divmod(best, chances.shape[1])
            rows = np.arange(len(live))[:, None]
            written = np.concatenate([written[rows, origin], token[:, :, None]], axis=2)
            if looked is not None:
                now = looked.reshape(*scores.shape, -1)
                seen = np.concatenate([seen[rows, origin], now[rows, origin][:, :, None]], axis=2)
            for row, source in enumerate(live.tolist()):
                found = ended[source]
                width = beam - len(found)
                for place in range(width):
                    end = token[row, place] == END
                    if np.isfinite(scores[row, place]) and (end or written.shape[2] == most[source]):
                        score = scores[row, place] / length_penalty(written.shape[2], alpha)
                        kept = written.shape[2] - int(end)
                        looks = None if looked is None else seen[row, place, :kept, : len(sources[source])]
                        found.append(Hypothesis(written[row, place, :kept].tolist(), float(score), bool(end), looks))
                        scores[row, place] = -np.inf
                scores[row, width:] = -np.inf
            going = np.isfinite(scores).any(axis=1)
            tokens, parents = token[going].ravel(), (rows * beam + origin)[going].ravel()
            if not going.all():
                cache = {
                    name: value[parents] if name.startswith("state") else value[np.repeat(going, beam)]
                    for name, value in cache.items()
                }
                parents = np.arange(len(tokens))
                live, scores, written, seen = live[going], scores[going], written[going], seen[going]
        return [sorted(one, key=lambda hypothesis: -hypothesis.score) for one in ended]

    def _read(self, sources: Sequence[Sequence[int]], beam: int) -> Tensors:
        """Memory and first state, a row for each hypothesis: those of a source one behind the other."""
        lengths = np.array([len(source) for source in sources])
        table = np.full((len(sources), lengths.max()), PAD)
        table[np.arange(table.shape[1]) < lengths[:, None]] = np.concatenate([np.asarray(one) for one in sources])
        found = self.encoder.run(self.encoded, {"source": table, "lengths": lengths})
        return {name: np.repeat(value, beam, axis=0) for name, value in zip(self.encoded, found, strict=True)}

    def _step(
        self, tokens: np.ndarray, parents: np.ndarray, cache: Tensors, attention: bool
    ) -> tuple[np.ndarray, np.ndarray | None, Tensors]:
        """-> log-probabilities float64 [n, vocab], attention [n, s] if there is one, the cache with one token more

        tokens, parents: int [n]
        """
        names = [name for name in self.decoded if attention or name != "attention"]
        given = {name: value for name, value in cache.items() if name in self.inputs}
        outputs = self.decoder.run(names, {"tokens": tokens, "parents": parents, **given})
        found = dict(zip(names, outputs, strict=True))
        chances = found.pop("log_probabilities").astype(np.float64)
        chances[:, self.never] = -np.inf
        looked = found.pop("attention", None)
        return chances, looked, cache | {name.removeprefix("next_"): value for name, value in found.items()}


def largest(values: np.ndarray, count: int) -> np.ndarray:
    """Places of the largest values of each row, largest first. values: [n, m] -> int [n, count]"""
    some = np.argpartition(-values, count, axis=1)[:, :count]
    order = np.argsort(-np.take_along_axis(values, some, axis=1), axis=1, kind="stable")
    return np.take_along_axis(some, order, axis=1)
