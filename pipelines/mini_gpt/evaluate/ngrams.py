"""A character n-gram model with interpolated Kneser-Ney smoothing, the classical language model.

Chen and Goodman, "An Empirical Study of Smoothing Techniques for Language Modeling" (1999), with one fixed discount.
"""

import numpy as np

DISCOUNT = 0.75


def probabilities(train: np.ndarray, test: np.ndarray, vocab: int, order: int) -> np.ndarray:
    """Probability of each character of `test` given the order - 1 before it. train, test: int [n] -> float64 [n]

    The context of test characters is the test text before them; that of the first ones, the end of the training text.
    """
    text = np.concatenate([train[len(train) - order + 1 :], test]) if order > 1 else test
    found = np.full(len(test), 1 / vocab)
    for n in range(1, order + 1):
        if n == order:
            grams, counts = np.unique(_codes(train, n, vocab), return_counts=True)
        else:  # number of distinct preceding characters: "Francisco" is frequent, but only after "San"
            grams, counts = np.unique(np.unique(_codes(train, n + 1, vocab)) % vocab**n, return_counts=True)
        contexts, place = np.unique(grams // vocab, return_inverse=True)
        totals, kinds = np.bincount(place, counts), np.bincount(place)
        wanted = _codes(text[order - n :], n, vocab)
        times = _look_up(wanted, grams, counts)
        total = _look_up(wanted // vocab, contexts, totals)
        spared = DISCOUNT * _look_up(wanted // vocab, contexts, kinds)
        known = np.maximum(total, 1)
        discounted = (np.maximum(times - DISCOUNT, 0) + spared * found) / known
        found = np.where(total > 0, discounted, found)
    return found


def _codes(text: np.ndarray, n: int, vocab: int) -> np.ndarray:
    """Every n-gram as one integer. -> int64 [len(text) - n + 1]"""
    rows = len(text) - n + 1
    codes = np.zeros(rows, dtype=np.int64)
    for offset in range(n):
        codes = codes * vocab + text[offset : offset + rows]
    return codes


def _look_up(wanted: np.ndarray, keys: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The value of each key, 0 for missing ones."""
    at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[at] == wanted, values[at], 0).astype(np.float64)
