"""Counting instead of learning: positive pointwise mutual information and its singular vectors.

Levy and Goldberg, "Neural Word Embedding as Implicit Matrix Factorization" (2014): word2vec with negative sampling
factorises the same matrix, shifted by the logarithm of its negatives. GloVe (2014) factorises the log of the counts.
"""

import numpy as np
from scipy.sparse import coo_array, csr_array
from scipy.sparse.linalg import svds


def ppmi(words: np.ndarray, sentences: np.ndarray, vocab: int, window: int, shift: float = 1.0) -> csr_array:
    """Positive pointwise mutual information of words that stand within the window: log of how much more often than
    by chance, 0 if less (section 3). words, sentences: int [t]; shift: negatives of the word2vec to compare with

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
    """The best approximation of rank `width`, U S V^T, read as vectors U sqrt(S) (section 4.2, equation 13). The sign
    of a column is free: its largest value is made positive. -> [vocab, width]"""
    start = np.ones(matrix.shape[0])  # svds begins anywhere else with a random vector
    u, s, _ = svds(matrix, k=width, v0=start, solver="arpack")
    u, s = u[:, ::-1], s[::-1]
    signs = np.sign(u[np.abs(u).argmax(axis=0), np.arange(width)])
    return (u * signs * np.sqrt(s)).astype(np.float32)
