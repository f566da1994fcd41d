"""word2vec, and PPMI with SVD, the co-occurrence statistics that it approximates.

Mikolov et al., "Efficient Estimation of Word Representations in Vector Space" (2013a), the two networks, and
"Distributed Representations of Words and Phrases and their Compositionality" (2013b), how to train them.
Levy and Goldberg, "Neural Word Embedding as Implicit Matrix Factorization" (2014), what they come to.

Shapes: m examples; vectors of `width` values; c words of context.
"""

from collections.abc import Iterator

import numpy as np
import torch
from scipy.sparse import coo_array, csr_array
from scipy.sparse.linalg import svds
from torch import Tensor, nn
from torch.nn import functional as F

NONE = -1  # no word: a context at the edge of a sentence


def keep_chances(counts: np.ndarray, threshold: float) -> np.ndarray:
    """How likely an occurrence of each word stays: frequent ones say little of their neighbours (2013b, section 2.3,
    by the formula of the authors' code). counts: [vocab], threshold: a frequency, 1e-3 to 1e-5 -> [vocab]"""
    ratio = threshold * counts.sum() / np.maximum(counts, 1)
    return np.minimum(1.0, np.sqrt(ratio) + ratio)


def contexts(words: np.ndarray, sentences: np.ndarray, window: int, rng: np.random.Generator) -> np.ndarray:
    """Up to `window` words on either side, how many is drawn for each word, so that near ones count more (2013a,
    section 3.2); none beyond the sentence. words, sentences: int [m], sentence of each -> int [m, 2 window], NONE"""
    reach = rng.integers(1, window + 1, len(words))
    found = np.full((len(words), 2 * window), NONE, words.dtype)
    for distance in range(1, window + 1):
        near = sentences[distance:] == sentences[:-distance]
        ahead, back = near & (reach[:-distance] >= distance), near & (reach[distance:] >= distance)
        found[:-distance, 2 * distance - 2][ahead] = words[distance:][ahead]
        found[distance:, 2 * distance - 1][back] = words[:-distance][back]
    return found


class Word2Vec(nn.Module):
    """Word vectors by negative sampling (2013b, section 2.2): tell observed pairs of words from random ones.

    Two runs give the same bytes, with several threads too: the rows of a batch are added one after the other, where
    the authors' code lets threads overwrite each other's.

    Args:
        counts: of each word: [vocab].
        cbow: predict a word from the mean of its context; else (skip-gram) the context from the word.
        negatives: drawn words, shared by the examples of a batch, so that scores are one product of matrices.
        lr: of Adagrad (Duchi et al., 2011), with one sum of squares a row: rare words learn in longer steps.
        seed: of the first vectors and of the drawn words.
    """

    squares: Tensor
    chances: Tensor

    def __init__(self, counts: np.ndarray, width: int, cbow: bool, negatives: int, lr: float, seed: int) -> None:
        super().__init__()
        self.cbow, self.negatives, self.lr = cbow, negatives, lr
        self.generator = torch.Generator().manual_seed(seed)
        vocab = len(counts)
        self.words = nn.Parameter((torch.rand(vocab, width, generator=self.generator) - 0.5) / width)
        self.outputs = nn.Parameter(torch.zeros(vocab, width))
        self.register_buffer("squares", torch.full((2, vocab), 1e-6))
        self.register_buffer("chances", torch.tensor(counts, dtype=torch.float64) ** 0.75)  # 2013b, section 2.2

    def step(self, words: Tensor, around: Tensor) -> float:
        """Learns from a batch, and returns its loss: nats per example. words: int [m], around: int [m, c], NONE"""
        present = around != NONE
        if self.cbow:
            used = present.any(dim=1)
            inputs, given, wanted = around[used].clamp(min=0), present[used].float(), words[used]
        else:
            rows, columns = present.nonzero(as_tuple=True)
            inputs, given, wanted = words[rows, None], torch.ones(len(rows), 1), around[rows, columns]
        drawn = torch.multinomial(self.chances, self.negatives, replacement=True, generator=self.generator)
        with torch.no_grad():
            return self._learn(inputs, given / given.sum(dim=1, keepdim=True), wanted, drawn)

    def _learn(self, inputs: Tensor, shares: Tensor, wanted: Tensor, drawn: Tensor) -> float:
        """inputs: int [m, c]; shares: the weight of each, [m, c]; wanted: int [m]; drawn: int [negatives]"""
        h = (self.words[inputs] * shares[:, :, None]).sum(dim=1)  # [m, width]
        right, wrong = self.outputs[wanted], self.outputs[drawn]
        scores, others = (h * right).sum(dim=1), h @ wrong.T  # [m], [m, negatives]
        apart = (drawn != wanted[:, None]).float()  # a drawn word that is the right one is no mistake
        weight = 5 / self.negatives  # together as many as the authors' five
        loss = -F.logsigmoid(scores).sum() - weight * (F.logsigmoid(-others) * apart).sum()
        # What the loss changes by, in each score: the sigmoid's error.
        error, errors = torch.sigmoid(scores) - 1, weight * torch.sigmoid(others) * apart
        slope = error[:, None] * right + errors @ wrong  # in h
        self._add(0, self.words, inputs.flatten(), (slope[:, None] * shares[:, :, None]).flatten(0, 1))
        self._add(1, self.outputs, torch.cat([wanted, drawn]), torch.cat([error[:, None] * h, errors.T @ h]))
        return loss.item() / max(1, len(wanted))

    def _add(self, table: int, vectors: Tensor, rows: Tensor, slopes: Tensor) -> None:
        """One step of Adagrad on these rows. rows: int [k], slopes: [k, width]"""
        unique, place = rows.unique(return_inverse=True)
        total = torch.zeros(len(unique), slopes.shape[1]).index_add_(0, place, slopes)
        squares = self.squares[table, unique] + total.square().mean(dim=1)
        self.squares[table, unique] = squares
        vectors[unique] = vectors[unique] - self.lr * total / squares.sqrt()[:, None]


def train(
    model: Word2Vec, words: np.ndarray, sentences: np.ndarray, keep: np.ndarray, window: int, batch: int, seed: int
) -> Iterator[float]:
    """One epoch; yields the loss of each step. words, sentences: int [m]; keep: of `keep_chances`"""
    rng = np.random.default_rng(seed)
    stays = rng.random(len(words)) < keep[words]
    words, sentences = words[stays], sentences[stays]  # before the window, which so reaches further (2013b's code)
    around = contexts(words, sentences, window, rng)
    order = rng.permutation(len(words))
    for start in range(0, len(words), batch):
        rows = order[start : start + batch]
        yield model.step(torch.from_numpy(words[rows]), torch.from_numpy(around[rows]))


def ppmi(words: np.ndarray, sentences: np.ndarray, vocab: int, window: int, shift: float = 1.0) -> csr_array:
    """Positive pointwise mutual information of words that stand within the window: log of how much more often than
    by chance, 0 if less (Levy and Goldberg, section 3). shift: negatives of the word2vec to be compared with

    -> sparse [vocab, vocab]
    """
    left, right = [], []
    for distance in range(1, window + 1):
        near = sentences[distance:] == sentences[:-distance]
        left.append(words[:-distance][near])
        right.append(words[distance:][near])
    a, b = np.concatenate(left), np.concatenate(right)
    pairs = coo_array((np.ones(2 * len(a)), (np.r_[a, b], np.r_[b, a])), shape=(vocab, vocab)).tocsr()
    totals = np.asarray(pairs.sum(axis=1)).ravel()
    found = pairs.tocoo()
    information = np.log(found.data * totals.sum() / (totals[found.row] * totals[found.col])) - np.log(shift)
    positive = information > 0
    return coo_array((information[positive], (found.row[positive], found.col[positive])), shape=(vocab, vocab)).tocsr()


def factorise(matrix: csr_array, width: int) -> np.ndarray:
    """The best approximation of rank `width`, U S V^T, read as vectors U sqrt(S) (Levy and Goldberg, section 4.2,
    equation 13). The sign of a column is free: its largest value is made positive. -> [vocab, width]"""
    start = np.ones(matrix.shape[0])  # svds begins anywhere else with a random vector
    u, s, _ = svds(matrix, k=width, v0=start, solver="arpack")
    u, s = u[:, ::-1], s[::-1]
    signs = np.sign(u[np.abs(u).argmax(axis=0), np.arange(width)])
    return (u * signs * np.sqrt(s)).astype(np.float32)


def nearest(vectors: np.ndarray, to: np.ndarray, k: int, without: list[int]) -> list[int]:
    """The k words whose vectors have the smallest angle to `to`. vectors: [vocab, width], to: [width]"""
    cosines = vectors @ to / np.maximum(np.linalg.norm(vectors, axis=1) * np.linalg.norm(to), 1e-12)
    cosines[without] = -np.inf
    return np.argsort(-cosines, kind="stable")[:k].tolist()


def analogy(vectors: np.ndarray, a: int, b: int, c: int) -> int:
    """a is to b as c is to what? By the sum of unit vectors b - a + c (Mikolov et al., 2013a, section 4).

    vectors: [vocab, width]
    """
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return nearest(unit, unit[b] - unit[a] + unit[c], 1, without=[a, b, c])[0]
