"""IBM Model 1: which word translates which, from pairs of sentences alone (Brown et al., "The Mathematics of
Statistical Machine Translation", 1993, section 4).

Every target word comes from one source word, or from none, each as likely as the other. Expectation maximisation asks
in turn how likely each of them is the origin (E), and how often each word was written for which (M).
"""

from collections.abc import Sequence

import numpy as np

NONE = 0  # the source word that is not there; PAD's number is free for it
Tokens = Sequence[int]


class Model1:
    """Args: pairs of training, as tokens; the size of the vocabulary; rounds of expectation maximisation."""

    def __init__(self, sources: Sequence[Tokens], targets: Sequence[Tokens], vocab: int, rounds: int = 5) -> None:
        # A row for each source word of each target word: `word` numbers the target words through all sentences.
        origins = [np.concatenate([[NONE], source]).astype(np.int64) for source in sources]
        origin = np.concatenate([np.tile(one, len(target)) for one, target in zip(origins, targets, strict=True)])
        lengths = np.concatenate([np.full(len(t), len(o)) for o, t in zip(origins, targets, strict=True)])
        word = np.repeat(np.arange(len(lengths)), lengths)
        target = np.repeat(np.concatenate([np.asarray(one) for one in targets]), lengths)
        codes, pair = np.unique(origin * vocab + target, return_inverse=True)
        self.origin, self.target = np.divmod(codes, vocab)
        chances = np.full(len(codes), 1.0 / vocab)
        for _ in range(rounds):
            share = chances[pair]
            share /= np.bincount(word, share)[word]  # E: of each word's origins
            counts = np.bincount(pair, share)
            chances = counts / np.bincount(self.origin, counts)[self.origin]  # M: t(target | origin)
        self.chances = chances
        best = np.lexsort((chances, self.origin))  # the last of each origin is its likeliest translation
        last = np.flatnonzero(np.append(np.diff(self.origin[best]) > 0, True))
        self.likeliest = dict(zip(self.origin[best][last].tolist(), self.target[best][last].tolist(), strict=True))

    def translate(self, source: Tokens) -> list[int]:
        """Word by word, in the source's order; words never met are left out."""
        return [self.likeliest[token] for token in source if token in self.likeliest]
