"""Text in blocks, thinned out and shuffled anew in each epoch: what models/word2vec.py learns from."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Text:
    """words int [t]; the sentence and the language that each stands in, int [t]"""

    words: np.ndarray
    sentences: np.ndarray
    languages: np.ndarray


class Blocks:
    """Batches of blocks: words int [n + 1, block + 2 window], and the sentence of each; the last block is the first
    one again, for its random words. Seed and epoch alone decide the order; without a seed it is that of the text.

    A batch is of one language, or its random words would be easily told.

    Args:
        keep: how likely an occurrence of each word stays: [vocab].
        batch: blocks.
    """

    def __init__(self, text: Text, keep: np.ndarray, window: int, block: int, batch: int, seed: int | None) -> None:
        self.text, self.keep, self.window, self.block, self.seed = text, keep, window, block, seed
        words = len(text.words) if seed is None else float(keep[text.words].sum())
        self.batches = max(1, round(words / block / batch))
        self.epoch = 0
        self.sampler, self.batch_sampler = self, None  # Lightning calls their set_epoch

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return self.batches

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        rng, text = np.random.default_rng([self.seed or 0, self.epoch]), self.text
        if self.seed is not None:  # before the window, which so reaches further (the authors' code)
            stays = rng.random(len(text.words), dtype=np.float32) < self.keep[text.words]
            text = Text(text.words[stays], text.sentences[stays], text.languages[stays])
        count = len(text.words) // self.block  # up to block - 1 words at the end are left out
        words, sentences = self._views(text.words), self._views(text.sentences)
        order = np.arange(count) if self.seed is None else rng.permutation(count)
        order = order[np.argsort(text.languages[:: self.block][order], kind="stable")]
        batches = np.array_split(order, self.batches)
        for turn in range(self.batches) if self.seed is None else rng.permutation(self.batches):
            rows = np.append(batches[turn], batches[turn][:1])
            yield torch.from_numpy(words[rows]), torch.from_numpy(sentences[rows])

    def _views(self, values: np.ndarray) -> np.ndarray:
        """Each block with the window on either side; the text is a ring. [t] -> [blocks, block + 2 window]"""
        ring = np.concatenate([values[-self.window :], values, values[: self.window]])
        return np.lib.stride_tricks.sliding_window_view(ring, self.block + 2 * self.window)[:: self.block]


@dataclass(frozen=True)
class Corpus:
    """What batches.py makes blocks of."""

    train: Text
    val: Text
    window: int
    block: int
