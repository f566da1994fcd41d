"""Sampling of the next token from logits."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Sampling:
    """Sampling parameters.

    temperature         logits are divided by it; 0 is greedy
    top_k               only the k most likely tokens; 0 for all
    top_p               only the smallest set of tokens with this total probability (Holtzman et al., 2020)
    repetition_penalty  divides the logits of tokens already present, multiplies negative ones (Keskar et al., 2019)
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    repetition_penalty: float = 1.0


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Over the last axis: [..., vocab] -> [..., vocab]"""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def distribution(logits: np.ndarray, how: Sampling, seen: np.ndarray | None = None) -> np.ndarray:
    """The distribution of the next token. logits: [vocab], seen: bool [vocab] -> probabilities: float64 [vocab]"""
    x = logits.astype(np.float64)
    if how.repetition_penalty != 1 and seen is not None:
        x = np.where(seen, np.where(x > 0, x / how.repetition_penalty, x * how.repetition_penalty), x)
    if how.temperature == 0:
        return np.eye(1, len(x), int(x.argmax()))[0]
    with np.errstate(over="ignore"):  # near temperature 0 all but the most likely token underflow
        x = (x - x.max()) / how.temperature
    if 0 < how.top_k < len(x):
        likeliest = np.argsort(-x, kind="stable")[: how.top_k]
        others = np.ones(len(x), bool)
        others[likeliest] = False
        x[others] = -np.inf
    p = np.exp(x)
    p /= p.sum()
    if how.top_p < 1:
        order = np.argsort(-p, kind="stable")
        enough = int(np.searchsorted(p[order].cumsum(), how.top_p - 1e-12)) + 1
        p[order[enough:]] = 0
        p /= p.sum()
    return p


def draw(p: np.ndarray, rng: np.random.Generator) -> int:
    """One token, from one number of `rng`, so the rest of the batch has no influence. p: [vocab]"""
    total = p.cumsum()
    token = int(np.searchsorted(total, rng.random() * total[-1], side="right"))
    return token if token < len(p) else int(np.flatnonzero(p)[-1])  # the number may have rounded to 1
