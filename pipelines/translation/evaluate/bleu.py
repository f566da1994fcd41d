"""BLEU (Papineni et al., 2002) as a function of a mean over sentences, so that it has an interval like other scores.

Counts and smoothing are sacreBLEU's (Post, "A Call for Clarity in Reporting BLEU Scores", 2018).
"""

from collections.abc import Sequence

import numpy as np
from sacrebleu.metrics import BLEU

ORDERS = 4  # of n-grams


def metric(lowercase: bool) -> BLEU:
    return BLEU(lowercase=lowercase, effective_order=True)


def counts(found: Sequence[str], wanted: Sequence[str], lowercase: bool) -> np.ndarray:
    """Of each sentence: n-grams that are right, n-grams, both for orders 1 to 4; words, words wanted. -> [n, 10]"""
    measure = metric(lowercase)
    scores = [measure.sentence_score(one, [other]) for one, other in zip(found, wanted, strict=True)]
    return np.array([[*score.counts, *score.totals, score.sys_len, score.ref_len] for score in scores], float)


def bleu(means: np.ndarray) -> np.ndarray:
    """0 to 100, from means or sums of `counts`: [..., 10] -> [...]"""
    right, total, (words, wanted) = (
        means[..., :ORDERS],
        means[..., ORDERS : 2 * ORDERS],
        np.moveaxis(means[..., -2:], -1, 0),
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        precision = np.where(total > 0, right / total, 0.0)
        mean = np.exp(np.log(precision).mean(axis=-1))
        brevity = np.exp(np.minimum(0.0, 1 - wanted / words))
    return np.where(words > 0, 100 * brevity * mean, 0.0)


def signature(lowercase: bool) -> str:
    """What a published score is to be compared by."""
    measure = BLEU(lowercase=lowercase)
    measure.corpus_score(["a"], [["a"]])  # it counts references only then
    return str(measure.get_signature())
