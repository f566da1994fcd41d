"""Monitoring: the contents of the reference, which windows count as drifted, and when retraining is requested."""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
import yaml

from roadmap.config.limits import MonitorSettings
from roadmap.monitoring.drift import compare
from roadmap.monitoring.reference import OTHER, RARE, Levels, Numbers, Reference, reference
from roadmap.monitoring.reference.columns import Column, Columns
from roadmap.monitoring.verdict import retraining_allowed
from roadmap.project import load_project
from tests.support.checkouts import ROOT

PROJECTS = list(yaml.safe_load((ROOT / "params.yaml").read_text())["projects"])
RNG = np.random.default_rng(0)
NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
SETTINGS = MonitorSettings(cooldown_days=1, budget=2)


def columns(rows: int, shift: float = 0.0, missing: float = 0.0, third: float = 0.2, seed: int = 1) -> Columns:
    rng = np.random.default_rng(seed)
    values = rng.normal(shift, 1, rows)
    gaps = rng.random(rows) < missing
    return {
        "size": [None if gap else float(value) for value, gap in zip(values, gaps, strict=True)],
        "kind": rng.choice(["a", "b", "c"], rows, p=[0.5, 0.5 - third, third]).tolist(),
    }


def drifted(window: Columns, **changes: Any) -> set[tuple[str, str]]:
    found = compare(reference(columns(1000, seed=0)), window, alpha=0.02, gap=changes.get("gap", 0.1))
    return {(one.column, one.kind) for one in found if one.drifted}


def test_a_quiet_window_is_quiet() -> None:
    assert drifted(columns(500)) == set()


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"shift": 0.6}, ("size", "values")),
        ({"missing": 0.2}, ("size", "missing")),
        ({"third": 0.45}, ("kind", "values")),
    ],
)
def test_drifted_columns_are_named(change: dict[str, Any], found: tuple[str, str]) -> None:
    assert drifted(columns(500, **change)) == {found}


def test_unseen_levels_count_as_drift() -> None:
    window = columns(500)
    window["kind"] = ["moon" if number % 5 == 0 else kind for number, kind in enumerate(window["kind"])]
    (one,) = [one for one in compare(reference(columns(1000, seed=0)), window, 0.02, 0.1) if one.drifted]
    assert one.column == "kind" and one.unseen == 0.2 and one.gap == pytest.approx(0.2, abs=0.05)


def test_a_significant_but_small_difference_is_no_drift() -> None:
    then, window = reference(columns(20_000, seed=0)), columns(20_000, shift=0.1)
    (size, *_) = compare(then, window, alpha=0.02, gap=0.1)
    assert size.p < 1e-6 and not size.drifted
    assert compare(then, window, alpha=0.02, gap=0.02)[0].drifted


def test_the_binned_statistic_matches_the_exact_one() -> None:
    """With an interval edge at every value binning loses nothing."""
    from scipy import stats

    one, other = RNG.integers(0, 30, 400).astype(float), RNG.integers(3, 33, 300).astype(float)
    (found,) = compare(reference({"x": one.tolist()}), {"x": other.tolist()}, 0.05, 0.0)
    assert found.gap == pytest.approx(stats.ks_2samp(one, other).statistic, abs=0.02)


def test_a_reference_reveals_no_row() -> None:
    names: Column = ["ann", "bob", *["carol"] * RARE, *["dave"] * 50]
    ages = RNG.normal(40, 10, len(names)).tolist()
    found = reference({"name": names, "age": ages})
    kept = found.columns["name"]
    assert isinstance(kept, Levels) and kept.levels == ["carol", "dave", OTHER] and kept.counts == [RARE, 50, 2]
    text = found.model_dump_json()
    assert "ann" not in text and "bob" not in text
    assert not any(str(age) in text for age in ages)
    assert Reference.model_validate_json(text) == found


def test_a_column_that_is_always_missing_can_be_monitored() -> None:
    found = reference({"x": [None] * 30, "y": [1.0] * 30})
    (one,) = [one for one in compare(found, {"x": [2.0] * 30, "y": [1.0] * 30}, 0.02, 0.1) if one.drifted]
    assert (one.column, one.kind, one.gap) == ("x", "missing", 1.0)


def test_numbers_outside_all_edges_are_counted() -> None:
    then = reference({"x": np.linspace(0, 1, 200).tolist()}).columns["x"]
    assert isinstance(then, Numbers)
    now = then.count([-1e9, 1e9, None])
    assert (now.counts[0], now.counts[-1], now.missing, sum(now.counts)) == (1, 1, 1, 2)


@pytest.mark.parametrize(
    ("days", "allowed", "message"),
    [
        ([], True, "0 of 2"),
        ([5], True, "1 of 2"),
        ([0.5], False, "cooling down"),
        ([5, 20], False, "budget is exhausted"),
        ([5, 31], True, "1 of 2"),
    ],
)
def test_retraining_respects_cooldown_and_budget(days: list[float], allowed: bool, message: str) -> None:
    past = [NOW - timedelta(days=one) for one in days]
    found, why = retraining_allowed(past, NOW, SETTINGS)
    assert found is allowed and message in why


@pytest.mark.parametrize("project", PROJECTS)
def test_every_project_has_monitored_columns(project: str) -> None:
    assert load_project(project).monitoring
    assert MonitorSettings.model_validate(
        yaml.safe_load((ROOT / "params.yaml").read_text())["projects"][project]["monitor"]
    ).enabled, "disabled means no retraining"
