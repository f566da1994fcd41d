"""The gate's paired tests: their error rates, and results against libraries."""

import numpy as np
import pytest
from statsmodels.stats.contingency_tables import mcnemar

from roadmap.evaluation.paired import ALPHA, Bootstrap, DieboldMariano, McNemar, holm, paired_test
from roadmap.evaluation.scores import Score, regression

RUNS = 400
MOST = ALPHA * RUNS + 2 * np.sqrt(ALPHA * (1 - ALPHA) * RUNS)  # limit of the false-alarm rate: plus two standard errors


def right(values: np.ndarray, block: int = 1) -> Score:
    return Score("accuracy", True, values.astype(float), {}, block=block)


def test_accuracies_are_compared_by_mcnemars_exact_test() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.random(300) < 0.9, rng.random(300) < 0.8
    found = paired_test(right(first), right(second), 0)
    assert isinstance(found, McNemar) and found.value == pytest.approx(first.mean() - second.mean())
    table = [[np.sum(first & second), np.sum(first & ~second)], [np.sum(~first & second), np.sum(~first & ~second)]]
    assert found.p(0) == pytest.approx(mcnemar(table, exact=True).pvalue / 2, rel=1e-6)  # one side of two


@pytest.mark.parametrize(("won", "lost", "rows"), [(0, 0, 100), (5, 0, 1000), (4, 0, 1000), (30, 10, 400), (0, 40, 40)])
def test_the_bound_and_the_p_value_agree(won: int, lost: int, rows: int) -> None:
    found = McNemar(won, lost, rows)
    assert -1 <= found.low() <= found.value
    assert (found.low() > 0) == (found.p(0) <= ALPHA) or found.low() == 0
    for least in (-0.1, -0.02, 0.02):
        assert (found.low() > least) == (found.p(least) < ALPHA)


@pytest.mark.parametrize("difference", [0.0, -0.03, 0.05])
def test_mcnemar_keeps_its_error_rate(difference: float) -> None:
    rng = np.random.default_rng(1)
    shares = [(0.12 + difference) / 2, (0.12 - difference) / 2, 0.88]
    draws = rng.multinomial(400, shares, size=RUNS)
    assert sum(McNemar(int(won), int(lost), 400).p(difference) <= ALPHA for won, lost, _ in draws) <= MOST


def test_overlapping_forecasts_are_not_counted_as_independent() -> None:
    rng, steps, wrong = np.random.default_rng(2), 20, 0
    for _ in range(RUNS):
        moving = np.convolve(rng.normal(size=400 + steps - 1), np.ones(steps), "valid")
        first, second = (Score("loss", False, each, {}, block=steps) for each in (10 - moving, np.full(400, 10.0)))
        found = paired_test(first, second, 0)
        assert isinstance(found, DieboldMariano)
        wrong += found.p(0) <= ALPHA
    assert wrong <= MOST


@pytest.mark.slow
def test_rare_large_losses_are_not_an_improvement() -> None:
    """A plain percentile bootstrap would accept it in 11% of cases."""
    rng, wrong = np.random.default_rng(3), 0
    for run in range(RUNS):
        losses = rng.exponential(size=150) * (rng.random(150) < 0.15)  # 0.15 on average
        found = paired_test(Score("loss", False, losses, {}), Score("loss", False, np.full(150, 0.15), {}), run)
        assert isinstance(found, Bootstrap)
        wrong += found.p(0) <= ALPHA
    assert wrong <= MOST + 0.03 * RUNS


def test_r2_is_compared_in_its_own_unit() -> None:
    rng = np.random.default_rng(4)
    targets = rng.normal(0, 3, 500)
    good, bad = (regression(targets, targets + rng.normal(0, spread, 500)) for spread in (1, 1.5))
    found = paired_test(good, bad, 0)
    assert isinstance(found, Bootstrap) and found.value == pytest.approx(good.value - bad.value)
    assert found.low() > 0.05 and found.p(0) < 0.01 and found.p(0.5) > 0.99
    assert paired_test(bad, good, 0).p(0) > 0.99


@pytest.mark.parametrize(
    "score",
    [
        right(np.arange(100) < 50),
        right(np.arange(100) < 50, block=5),
        Score("loss", False, np.linspace(0, 1, 100), {}),
    ],
)
def test_equal_predictions_neither_gain_nor_lose(score: Score) -> None:
    found = paired_test(score, score, 0)
    assert found.value == 0 and found.low() <= 0 and found.p(0) == 1 and found.p(-0.2) <= ALPHA


@pytest.mark.parametrize("block", [1, 5])
def test_nan_is_never_better(block: int) -> None:
    broken = Score("loss", False, np.full(100, np.nan), {}, block=block)
    assert not paired_test(broken, Score("loss", False, np.ones(100), {}, block=block), 0).p(0) <= ALPHA


def test_p_values_are_corrected_as_published() -> None:
    """Holm (1979), and the example of R's p.adjust."""
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])


def test_holm_requires_more_of_two_tests_than_of_one() -> None:
    assert holm([0.03]) == [0.03]
    assert holm([0.03, 0.5]) == [0.06, 0.5]
    assert holm([0.02, 0.04]) == [0.04, 0.04]
    assert holm([float("nan"), 0.02]) == [1.0, 0.04]


def test_a_subset_has_shorter_blocks() -> None:
    score = right(np.ones(160), block=80)
    places = np.arange(160)
    assert score.subset(places % 8 == 0).block == 11  # 20 rows, every eighth; the ends make it slightly denser
    assert score.subset(places < 80).block == 80
