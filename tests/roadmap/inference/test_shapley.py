"""Shapley values: they add up whatever the value is, and are the exact ones where order doesn't matter."""

from itertools import permutations

import numpy as np
import pytest

from roadmap.inference.text.shapley import contributions

WEIGHTS = np.array([1.0, -2.0, 3.0, 0.5])


@pytest.mark.parametrize("players", [1, 2, 3, 7, 24])
def test_contributions_add_up_to_what_the_whole_has_beyond_nothing(players: int) -> None:
    rng = np.random.default_rng(players)
    pairs = rng.normal(size=(players, players))

    def value(there: np.ndarray) -> np.ndarray:
        return np.tanh(np.einsum("ni,ij,nj->n", there, pairs, there)) + 0.25

    found, nothing, whole = contributions(value, players)
    assert nothing == 0.25 and whole == value(np.ones((1, players), bool))[0]
    assert found.sum() == pytest.approx(whole - nothing, abs=1e-12)


def test_of_a_sum_they_are_the_summands() -> None:
    found, nothing, _ = contributions(lambda there: 7 + there @ WEIGHTS, 4)
    np.testing.assert_allclose(found, WEIGHTS, atol=1e-12)
    assert nothing == 7


def test_many_orders_come_near_the_average_over_all_orders() -> None:
    def value(there: np.ndarray) -> np.ndarray:
        return there @ WEIGHTS + 4 * (there[:, 0] & there[:, 2] & ~there[:, 3])

    exact = np.zeros(4)
    orders = list(permutations(range(4)))
    for order in orders:
        there = np.zeros((1, 4), bool)
        for player in order:
            before = value(there)[0]
            there[0, player] = True
            exact[player] += (value(there)[0] - before) / len(orders)
    found, *_ = contributions(value, 4, pairs=400)
    np.testing.assert_allclose(found, exact, atol=0.1)


def test_the_value_is_asked_once_and_for_few_sets() -> None:
    asked = []

    def value(there: np.ndarray) -> np.ndarray:
        asked.append(there)
        return there.sum(axis=1)

    contributions(value, 10)
    assert len(asked) == 1 and len(asked[0]) == 2 + 2 * 9
