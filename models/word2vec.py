"""word2vec: skip-gram and CBOW with negative sampling.

Mikolov et al., "Efficient Estimation of Word Representations in Vector Space" (2013a), the two networks, and
"Distributed Representations of Words and Phrases and their Compositionality" (2013b), how to train them.

Text comes in blocks: `block` words and `window` more on either side of them, which are context only. The products of
the middle's vectors with those of the whole block are one small matrix, and the pairs of words that stand together
are a band of it. So a word's vectors are read and written once a batch, not once for each of its pairs, and the rest
is products of matrices, which a CPU does some ten times as fast. The words of the next block, from elsewhere in the
text, serve as the random words: drawing others would mean to read and write as many rows again.

Shapes: n blocks; m = block words in the middle of each, s = block + 2 window words in all; vectors of `width` values.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.graph import Graph

NEGATIVES = 5  # random words per pair (2013b, section 2.2)


def keep_chances(counts: np.ndarray, threshold: float) -> np.ndarray:
    """How likely an occurrence of each word stays: frequent ones say little of their neighbours (2013b, section 2.3,
    by the formula of the authors' code). counts: [vocab], threshold: a frequency, 1e-3 to 1e-5 -> [vocab]"""
    ratio = threshold * counts.sum() / np.maximum(counts, 1)
    return np.minimum(1.0, np.sqrt(ratio) + ratio)


class Update(NamedTuple):
    """The slopes of the loss in rows of a table.

    rows: int [n, k]; slopes: [n, k, width]; pairs: how many pairs each slope sums up, [n, k]
    """

    table: Tensor
    rows: Tensor
    slopes: Tensor
    pairs: Tensor


class Word2Vec(pl.LightningModule):
    """Word vectors by negative sampling (2013b, section 2.2): tell observed pairs of words from random ones.

    Optimisation is manual, and Lightning's optimizers stay unused: a batch touches a few thousand rows of the tables,
    and autograd would fill two gradients of the tables' size for every step. The slopes are written out below; a test
    holds them against autograd. Two runs give the same bytes, with several threads too: rows are added in a fixed
    order, where the authors' code lets threads overwrite each other's. One process only.

    Args:
        counts: of each word: [vocab].
        subsample: the threshold of `keep_chances`; the buffer `keep` tells whoever makes the blocks.
        window: words on either side that count as context, at most.
        width: values of a vector.
        cbow: predict a word from the mean of its context; else (skip-gram) the context from the word.
        lr: of the first step of gradient descent; it falls linearly to 0, as in the authors' code.
        most: pairs of a batch whose slopes may add up in one row. The authors' code corrects a vector after every pair.
            In a batch a frequent word is in hundreds, all of them computed from the same old vector: their sum is
            scaled as if there were `most`.
    """

    keep: Tensor
    weights: Tensor

    def __init__(
        self, counts: np.ndarray, subsample: float, window: int, width: int, cbow: bool, lr: float, most: float
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.window, self.cbow, self.lr, self.most = window, cbow, lr, most
        self.words = nn.Parameter((torch.rand(len(counts), width) - 0.5) / width, requires_grad=False)
        self.outputs = nn.Parameter(torch.zeros(len(counts), width), requires_grad=False)
        keep = keep_chances(counts, subsample)
        self.register_buffer("keep", torch.tensor(keep, dtype=torch.float32), False)
        # Random words should come as often as count^0.75 (2013b, section 2.2); in the blocks they come as
        # count x keep. The quotient weights them, with mean 1.
        text = counts * keep / (counts * keep).sum()
        weights = counts**0.75 / np.maximum(text, 1e-12)
        self.register_buffer("weights", torch.tensor(weights / (text * weights).sum(), dtype=torch.float32), False)

    def forward(self, words: Tensor, signs: Tensor) -> tuple[Tensor, Tensor]:
        """The direction of a sum of unit vectors, and its cosine with every word: a word is words [[i]] and signs
        [[1]], an analogy a : b = c : ? is [[a, b, c]] and [[-1, 1, 1]] (2013a, section 4).

        words: int [n, k], signs: [n, k] -> cosines [n, vocab], [n, width] of length 1
        """
        unit = F.normalize(self.words, dim=1)
        direction = F.normalize((unit[words] * signs[:, :, None]).sum(dim=1), dim=1)
        return direction @ unit.T, direction

    def graphs(self, example: tuple[Tensor, ...]) -> Mapping[str, Graph]:
        words, signs = example
        axes = {0: "batch", 1: "terms"}
        inputs = {"words": words, "signs": signs}
        return {"model.onnx": Graph(self, inputs, ("cosines", "directions"), {"words": axes, "signs": axes})}

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> dict[str, Tensor]:
        """batch: words int [n + 1, s] and the sentence of each; the last block is only random words"""
        words, sentences = batch
        reach = torch.randint(1, self.window + 1, (len(words) - 1, self.block(words), 1), device=words.device)
        done = (self.current_epoch + index / int(self.trainer.num_training_batches)) / (self.trainer.max_epochs or 1)
        loss, updates = self.slopes(words, self.band(sentences, reach))
        for update in updates:
            self.descend(*update, self.lr * (1 - done))
        return {"loss": loss}

    def validation_step(self, batch: tuple[Tensor, Tensor], _: int) -> None:
        """As `training_step`, with the whole window of each word."""
        words, sentences = batch
        reach = torch.tensor(self.window, device=words.device)
        loss = self.slopes(words, self.band(sentences, reach))[0]
        self.log("val_loss", loss, batch_size=len(words))

    def configure_optimizers(self) -> None:
        return None

    def block(self, words: Tensor) -> int:
        return words.shape[1] - 2 * self.window

    def band(self, sentences: Tensor, reach: Tensor) -> Tensor:
        """Which words of a block are context of which of its middle: those within `reach`, which is drawn for each so
        that near ones count more (2013a, section 3.2), and in the same sentence.

        sentences: int [n + 1, s], reach: int [n, m, 1] or [] -> float 0 or 1, [n, m, s]
        """
        m, w = self.block(sentences), self.window
        places = torch.arange(m + 2 * w, device=sentences.device)
        distance = (places - places[w:-w, None]).abs()  # [m, s]
        distance[distance == 0] = m + 3 * w  # a word is not its own context
        found = sentences[:-1]
        return ((distance <= reach) & (found[:, w:-w, None] == found[:, None])).float()

    def slopes(self, words: Tensor, band: Tensor) -> tuple[Tensor, list[Update]]:
        """The loss in nats per pair, and what changes it. words: int [n + 1, s], band: [n, m, s]"""
        w = self.window
        if self.cbow:  # from the mean of the context to the word in the middle: one pair a word
            shares = band / band.sum(dim=2, keepdim=True).clamp(min=1)  # [n, m, s]
            h, near = torch.bmm(shares, F.embedding(words[:-1], self.words)), words[:, w:-w]
            band = torch.diag_embed((band.sum(dim=2) > 0).float())  # [n, m, m]
        else:  # from the word in the middle to each word of its context
            h, near = F.embedding(words[:-1, w:-w], self.words), words
        k = near.shape[1]
        each = near.flatten().unfold(0, 2 * k, k)  # a block and the next one: [n, 2 * k]
        outputs = F.embedding(near, self.outputs).flatten(0, 1).unfold(0, 2 * k, k)  # [n, width, 2 * k]
        pairs = band.sum(dim=2, keepdim=True)  # of each word in the middle, [n, m, 1]
        random = pairs * self.weights[each[:, None, k:]] * (NEGATIVES / k)
        weights = torch.cat([band, random], dim=2)
        # The slope of -log sigmoid(x) is sigmoid(x) - 1, that of -log sigmoid(-x) is sigmoid(x).
        error = torch.sigmoid(torch.bmm(h, outputs))
        error[:, :, :k] -= 1
        loss = -(torch.log1p(-error.abs().clamp(max=1 - 1e-6)) * weights).sum() / pairs.sum().clamp(min=1)
        error *= weights
        of_h, share_of_h = torch.bmm(error, outputs.transpose(1, 2)), pairs * (1 + NEGATIVES)
        second = Update(self.outputs, each, torch.bmm(error.transpose(1, 2), h), weights.sum(dim=1))
        if self.cbow:
            back = shares.transpose(1, 2)
            return loss, [Update(self.words, words[:-1], torch.bmm(back, of_h), torch.bmm(back, share_of_h)), second]
        return loss, [Update(self.words, words[:-1, w:-w], of_h, share_of_h), second]

    def descend(self, table: Tensor, rows: Tensor, slopes: Tensor, pairs: Tensor, lr: float) -> None:
        """One step of gradient descent on the rows of a table; the arguments are those of an `Update`."""
        rows = rows.flatten()
        total = torch.zeros(len(table), device=table.device).index_add_(0, rows, pairs.flatten())
        rate = -lr / (total / self.most).clamp(min=1)
        table.index_add_(0, rows, slopes.flatten(0, 1) * rate[rows, None])
