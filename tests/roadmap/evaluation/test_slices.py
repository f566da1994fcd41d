"""Slices and the fairness table, on rows counted by hand."""

import numpy as np
import pytest

from roadmap.evaluation import behavioural as behaviour
from roadmap.evaluation import slices
from roadmap.evaluation.behavioural import BehaviouralCheck
from roadmap.evaluation.scores import Score


def test_slices_are_levels_of_named_or_low_cardinality_columns() -> None:
    rows = [{"sex": sex, "name": f"person {i}", "fare": 1.0} for i, sex in enumerate(["m", "f", None] * 8)]
    assert set(slices.levels(rows, "sex", "class")) == {"sex=m", "sex=f", "sex=None"}
    assert set(slices.levels(rows, "class")) == {"sex=m", "sex=f", "sex=None"}  # names are too many
    assert slices.levels(rows, "sex")["sex=f"].sum() == 8


def test_the_table_has_rows_and_headline_of_non_empty_slices() -> None:
    score = Score("accuracy", True, np.array([1.0, 1, 0, 0]), {})
    masks = {"first": np.array([1, 1, 1, 0], bool), "none": np.zeros(4, bool)}
    assert slices.table(score, masks) == {"first": {"rows": 3, "accuracy": pytest.approx(2 / 3)}}


def test_fairness_is_the_gap_between_best_and_worst_group() -> None:
    sex = np.array(["f", "f", "m", "m"])
    positive, truth = np.array([1, 1, 0, 1], bool), np.array([1, 0, 0, 0], bool)
    found = slices.fairness({"sex": sex}, positive, truth)["sex"]
    assert found["groups"]["f"] == {"rows": 2, "accuracy": 0.5, "positive_rate": 1.0, "true_rate": 0.5}
    assert found["gap"] == {"accuracy": 0.0, "positive_rate": 0.5, "true_rate": 0.5}


def test_a_behavioural_check_needs_its_minimum_rate() -> None:
    held = np.array([True, True, False, True])
    no_cases = BehaviouralCheck("c", "minimum", held[:0], 1.0)
    given = [BehaviouralCheck("a", "invariance", held, 0.75), BehaviouralCheck("b", "minimum", held, 0.8), no_cases]
    table = behaviour.table(given)
    assert {name: one["passed"] for name, one in table.items()} == {"a": True, "b": False}
    assert table["a"] == {"kind": "invariance", "cases": 4, "rate": 0.75, "asked": 0.75, "passed": True}
