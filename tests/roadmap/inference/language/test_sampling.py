"""Sampling of tokens."""

from collections import Counter

import numpy as np
import pytest
from scipy import stats

from roadmap.inference.language.sampling import Sampling, distribution, draw, log_softmax

LOGITS = np.array([2.0, 1.0, 0.5, -1.0, 0.0, -3.0])


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_tokens_are_sampled_by_probability(temperature: float) -> None:
    rng = np.random.default_rng(0)
    exact = np.exp(LOGITS / temperature) / np.exp(LOGITS / temperature).sum()
    counts = Counter(draw(distribution(LOGITS, Sampling(temperature)), rng) for _ in range(20_000))
    observed = [counts[token] for token in range(len(LOGITS))]
    assert stats.chisquare(observed, exact * 20_000).pvalue > 0.001


def test_temperature_near_zero_is_greedy() -> None:
    for temperature in (0, 1e-300):
        assert distribution(LOGITS, Sampling(temperature)).tolist() == [1, 0, 0, 0, 0, 0]


def test_top_k_keeps_k_tokens_with_ties() -> None:
    assert (distribution(LOGITS, Sampling(top_k=3)) > 0).tolist() == [True, True, True, False, False, False]
    assert (distribution(np.zeros(6), Sampling(top_k=2)) > 0).sum() == 2
    assert (distribution(LOGITS, Sampling(top_k=100)) > 0).all()


@pytest.mark.parametrize("top_p", [0.05, 0.5, 0.8, 0.9, 0.99])
def test_top_p_keeps_the_smallest_sufficient_set(top_p: float) -> None:
    whole = distribution(LOGITS, Sampling())
    kept = np.flatnonzero(distribution(LOGITS, Sampling(top_p=top_p)))
    assert whole[kept].sum() >= top_p
    assert np.sort(whole)[::-1][: len(kept) - 1].sum() < top_p, "fewer are enough"
    np.testing.assert_allclose(distribution(LOGITS, Sampling(top_p=top_p))[kept], whole[kept] / whole[kept].sum())


def test_top_p_equal_to_a_cumulative_probability() -> None:
    logits = np.log([0.4, 0.3, 0.2, 0.1])
    assert (distribution(logits, Sampling(top_p=0.7)) > 0).sum() == 2


def test_the_repetition_penalty_lowers_repeated_tokens() -> None:
    seen = np.array([True, False, False, True, False, False])
    before, after = distribution(LOGITS, Sampling()), distribution(LOGITS, Sampling(repetition_penalty=1.5), seen)
    assert (after[seen] < before[seen]).all() and (after[~seen] > before[~seen]).all()


@pytest.mark.filterwarnings("error")
def test_the_smallest_temperature_is_greedy() -> None:
    assert (
        distribution(LOGITS, Sampling(temperature=5e-324)).tolist()
        == distribution(LOGITS, Sampling(temperature=0)).tolist()
    )


def test_log_softmax_of_large_logits() -> None:
    np.testing.assert_allclose(log_softmax(np.array([1e4, 1e4 - 1])), np.log([1 / (1 + np.e**-1), 1 / (1 + np.e)]))
