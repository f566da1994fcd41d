"""Scores against scikit-learn, and the coverage of intervals."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sklearn

from roadmap.evaluation import scores as score
from roadmap.evaluation.paired import paired_test
from roadmap.evaluation.scores import Score, classification, regression, roc_auc

# Few distinct scores, so that ties are the rule.
BINARY = st.lists(st.tuples(st.integers(0, 1), st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.75, 1.0])), min_size=2).filter(
    lambda rows: len({label for label, _ in rows}) == 2
)


def accuracy(hits: np.ndarray) -> Score:
    return Score("accuracy", True, hits.astype(float), {})


@settings(deadline=None, max_examples=100)
@given(BINARY)
def test_binary_metrics_agree_with_scikit_learn_ties_included(rows: list[tuple[int, float]]) -> None:
    targets, second = (np.array(column) for column in zip(*rows, strict=True))
    assert roc_auc(targets, second) == pytest.approx(sklearn.roc_auc_score(targets, second))
    found = classification(targets, np.stack([1 - second, second], axis=1))
    predicted = (second > 0.5).astype(int)
    assert found.value == pytest.approx(sklearn.accuracy_score(targets, predicted))
    assert found.metrics["brier"] == pytest.approx(sklearn.brier_score_loss(targets, second))
    assert found.metrics["macro_f1"] == pytest.approx(
        sklearn.f1_score(targets, predicted, average="macro", zero_division=1)
    )


def test_multiclass_metrics_agree_with_scikit_learn() -> None:
    rng = np.random.default_rng(1)
    targets = rng.integers(0, 5, 400)
    probabilities = rng.dirichlet(np.ones(5), 400)
    found = classification(targets, probabilities)
    assert found.value == pytest.approx(sklearn.accuracy_score(targets, probabilities.argmax(1)))
    assert found.metrics["log_loss"] == pytest.approx(sklearn.log_loss(targets, probabilities))
    assert found.metrics["macro_f1"] == pytest.approx(
        sklearn.f1_score(targets, probabilities.argmax(1), average="macro")
    )
    assert "roc_auc" not in found.metrics


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.integers(-100, 100), st.floats(-100, 100)), min_size=2, max_size=50))
def test_regression_metrics_agree_with_scikit_learn(rows: list[tuple[int, float]]) -> None:
    targets, predictions = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    found = regression(targets, predictions)
    if np.ptp(targets):  # scikit-learn has another convention for constant targets
        assert found.value == pytest.approx(sklearn.r2_score(targets, predictions))
    assert found.metrics["rmse"] == pytest.approx(sklearn.root_mean_squared_error(targets, predictions))
    assert found.metrics["mae"] == pytest.approx(sklearn.mean_absolute_error(targets, predictions))
    assert found.metrics["median_absolute_error"] == pytest.approx(sklearn.median_absolute_error(targets, predictions))


def test_r2_is_zero_for_the_mean_and_one_for_the_truth() -> None:
    targets = np.array([1.0, 5.0, 9.0, -3.0])
    assert regression(targets, targets).value == 1
    assert regression(targets, np.full(4, targets.mean())).value == pytest.approx(0)


def test_roc_auc_needs_both_classes() -> None:
    assert np.isnan(roc_auc(np.ones(5, dtype=int), np.linspace(0, 1, 5)))


def test_a_confident_error_has_a_finite_log_loss() -> None:
    found = classification(np.array([0, 1]), np.array([[0.0, 1.0], [0.0, 1.0]]))
    assert 1 < found.metrics["log_loss"] < 20


def test_the_interval_covers_the_true_accuracy_in_95_percent(monkeypatch: pytest.MonkeyPatch) -> None:
    """300 samples of 200 predictions, each right with probability 0.8; 95% ± 4 standard errors of the simulation."""
    monkeypatch.setattr(score, "RESAMPLES", 300)
    rng = np.random.default_rng(2)
    covered = []
    for seed in range(300):
        low, high = accuracy(rng.random(200) < 0.8).interval(seed)
        covered.append(low <= 0.8 <= high)
    assert 0.90 <= np.mean(covered) <= 0.99


def test_the_interval_matches_the_normal_approximation() -> None:
    hits = np.arange(1000) % 10 < 8
    low, high = accuracy(hits).interval(seed=1)
    assert low < 0.8 < high
    assert high - low == pytest.approx(2 * 1.96 * np.sqrt(0.8 * 0.2 / 1000), rel=0.1)


def r2(targets: np.ndarray, noise: np.ndarray) -> Score:
    return regression(targets, targets + noise)


@pytest.mark.parametrize("make", [lambda t, e: accuracy(e < 1), r2], ids=["accuracy", "r2"])
def test_pairing_narrows_the_comparison(make: Callable[[np.ndarray, np.ndarray], Score]) -> None:
    """Two models that fail on almost the same rows differ far less than their own intervals suggest."""
    rng = np.random.default_rng(3)
    targets, noise = rng.normal(0, 2, 500), rng.normal(0, 1, 500)
    one, two = make(targets, noise), make(targets, noise + rng.normal(0, 0.05, 500))
    found = paired_test(one, two, seed=1)
    assert found.value == pytest.approx(one.value - two.value)
    unpaired = float(np.percentile(one.bootstrap(1) - two.bootstrap(2), 5))
    assert found.low() <= found.value and found.value - found.low() < 0.5 * (found.value - unpaired)


def test_a_lower_error_is_an_improvement() -> None:
    losses = np.random.default_rng(4).exponential(1, 300)
    good, bad = (Score("perplexity", False, values, {}, np.exp) for values in (losses, losses + 0.5))
    found = paired_test(good, bad, seed=1)
    assert 0 < found.low() <= found.value and found.p(0) < 0.01
    assert paired_test(bad, good, seed=1).value == -found.value
    assert good.value == pytest.approx(np.exp(losses.mean()))


def test_the_same_seed_gives_the_same_interval() -> None:
    found = Score("loss", False, np.random.default_rng(5).exponential(1, 100), {})
    assert found.interval(1) == found.interval(1)
    assert found.interval(1) != found.interval(2)


def test_a_headline_of_several_means_has_an_interval_and_a_paired_test() -> None:
    """Right ones of those that count, as BLEU is a function of the means of its counts."""
    rng = np.random.default_rng(0)
    counted = rng.random(400) < 0.8
    right = rng.random(400) < 0.7

    def of(right: np.ndarray) -> Score:
        per_item = np.column_stack([right & counted, counted]).astype(float)
        return Score("share", True, per_item, {}, lambda means: means[..., 0] / means[..., 1])

    found, better = of(right), of(right | (rng.random(400) < 0.3))
    plain = Score("share", True, right[counted].astype(float), {})
    assert found.value == pytest.approx(plain.value)
    assert found.interval(1) == pytest.approx(plain.interval(1), abs=0.01)
    assert found.subset(counted).value == pytest.approx(plain.value)
    assert not found.influence()[~counted].any()
    gain = paired_test(better, found, 1)
    assert gain.p(0) < 0.01 and 0 < gain.low() < gain.value == pytest.approx(better.value - found.value)
    assert paired_test(found, better, 1).p(0) > 0.9
