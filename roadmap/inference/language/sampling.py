"""From the logits of a language model to its next token."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Sampling:
    """How tokens are drawn.

    temperature         logits are divided by it; 0 takes the likeliest token
    top_k               only the k likeliest tokens; 0 for all
    top_p               only the fewest tokens that together have this probability (Holtzman et al., 2020)
    repetition_penalty  logits of tokens already there are divided by it, negative ones multiplied (Keskar et al., 2019)
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    repetition_penalty: float = 1.0


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Over the last axis."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def distribution(logits: np.ndarray, how: Sampling, seen: np.ndarray | None = None) -> np.ndarray:
    """What the next token is drawn from. logits: [vocab], seen: bool [vocab] -> probabilities: float64 [vocab]"""
    x = logits.astype(np.float64)
    if how.repetition_penalty != 1 and seen is not None:
        x = np.where(seen, np.where(x > 0, x / how.repetition_penalty, x * how.repetition_penalty), x)
    if how.temperature == 0:
        return np.eye(1, len(x), int(x.argmax()))[0]
    with np.errstate(over="ignore"):  # near 0, what is not the likeliest becomes impossible
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
    """One token, by one number of `rng`: what else is in the batch changes nothing. p: [vocab]"""
    total = p.cumsum()
    token = int(np.searchsorted(total, rng.random() * total[-1], side="right"))
    return token if token < len(p) else int(np.flatnonzero(p)[-1])  # rounding may have made the number 1
