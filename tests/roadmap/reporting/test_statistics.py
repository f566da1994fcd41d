"""The figures of a report: drift, association, autocorrelation and entropy have known values."""

import numpy as np
import pandas as pd
import pytest

from roadmap.reporting.tasks import associations, corpus, drift, series


def test_drift_of_categories_and_missing_values() -> None:
    rng = np.random.default_rng(0)
    train, test = pd.Series(rng.choice(["a", "b", "c"], 2000)), pd.Series(rng.choice(["a", "b", "d"], 500))
    assert drift.compare("x", train, test, "category").verdict(10) == "differs"
    numbers = pd.Series(rng.normal(size=2000))
    gaps = numbers[:500].mask(rng.random(500) < 0.3)
    assert drift.compare("x", numbers, gaps, "number").verdict(10) == "differs"
    few = drift.compare("x", numbers, numbers[:5], "number")
    assert few.verdict(10) == "too few rows"


def test_chance_is_rarely_reported_as_drift() -> None:
    rng = np.random.default_rng(0)
    columns = {f"{kind} {n}": kind for kind in ("number", "category") for n in range(50)}
    calls = []
    for name, kind in columns.items():
        values = pd.Series(rng.normal(size=300) if kind == "number" else rng.choice(list("abcdefghij"), 300))
        calls.append(drift.compare(name, values[:240], values[240:], kind).verdict(len(columns)))
    assert set(calls) == {"alike"}


def test_association_of_noise_is_near_zero_and_of_copies_one() -> None:
    rng = np.random.default_rng(0)
    number, level = pd.Series(rng.normal(size=500)), pd.Series(rng.choice([f"level {n}" for n in range(40)], 500))
    other = pd.Series(rng.choice(list("abcdefghij"), 500))
    assert associations.associate(level, number, "category", "number") < 0.2
    assert associations.associate(level, other, "category", "category") < 0.2
    assert associations.associate(level, level, "category", "category") == pytest.approx(1)
    assert associations.associate(number, -number, "number", "number") == pytest.approx(-1)
    constant = pd.Series(np.ones(500))
    assert associations.associate(constant, number, "number", "number") == 0


def test_autocorrelation_of_an_autoregression() -> None:
    shocks = np.random.default_rng(0).normal(size=20_000)
    values = np.zeros(20_000)
    for t in range(1, 20_000):
        values[t] = 0.6 * values[t - 1] + shocks[t]
    assert series.autocorrelation(values, 4) == pytest.approx([0.6, 0.36, 0.216, 0.13], abs=0.03)


def test_entropy_of_runs_of_characters() -> None:
    """A coin flip has one bit; a period of four has two bits, and none once a character is known."""
    coin = np.random.default_rng(0).integers(0, 2, 200_000)
    joint, last = corpus.entropies(coin)
    np.testing.assert_allclose(joint, range(1, 8), atol=0.01)
    np.testing.assert_allclose(last, 1, atol=0.01)
    np.testing.assert_allclose(corpus.entropies(np.arange(40_000) % 4)[1], [2, 0, 0, 0, 0, 0, 0], atol=0.01)
