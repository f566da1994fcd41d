"""A sequential test that may be checked every day: its error rates."""

import numpy as np
import pytest

from roadmap.experiments import sequential


def looks(differences: np.ndarray, days: int) -> list[sequential.IntervalEstimate]:
    parts = np.array_split(np.arange(len(differences)), days)
    return [sequential.confidence_sequence(sequential.pairs(differences[: part[-1] + 1])) for part in parts]


def test_sixty_looks_without_an_effect_find_none_unlike_a_fixed_test() -> None:
    rng = np.random.default_rng(0)
    ours = plain = 0
    for _ in range(200):
        seen = looks(rng.choice([-1.0, 0.0, 1.0], 6000, p=[0.1, 0.8, 0.1]), 60)
        ours += any(look.low > 0 or look.high < 0 for look in seen)
        values = [look.value for look in seen]
        errors = np.sqrt(0.2 / np.linspace(100, 6000, 60))
        plain += bool((np.abs(values) > 1.96 * errors).any())
    assert ours <= 10 and plain > 40  # 5% of 200


def test_a_better_challenger_is_found_and_the_interval_covers_the_truth() -> None:
    rng = np.random.default_rng(1)
    found = held = 0
    for _ in range(100):
        seen = looks(rng.choice([-1.0, 0.0, 1.0], 6000, p=[0.085, 0.8, 0.115]), 60)
        found += any(look.low > 0 for look in seen)
        held += all(look.low <= 0.03 <= look.high for look in seen)
    assert found >= 95 and held >= 95


def test_two_samples_use_their_own_variances() -> None:
    rng = np.random.default_rng(2)
    estimate = sequential.samples(rng.normal(0, 1, 4000), rng.normal(0.5, 3, 1000))
    assert estimate.value == pytest.approx(0.5, abs=0.3)
    assert estimate.error == pytest.approx(np.sqrt(1 / 4000 + 9 / 1000), rel=0.1) and estimate.n == 800
    assert sequential.confidence_sequence(estimate).low > 0


def test_equal_samples_are_undecided() -> None:
    look = sequential.confidence_sequence(sequential.pairs(np.zeros(1000)))
    assert (look.low, look.high, look.p) == (-np.inf, np.inf, 1.0)
