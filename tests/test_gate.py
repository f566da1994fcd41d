"""The gate: who may become champion, and in which words it is decided."""

import numpy as np
import pytest

from pipelines.common.config import GateSettings
from pipelines.common.gate import Champion, Check, judge, verdict
from pipelines.common.score import Score

SETTINGS = GateSettings(floor=0.8, margin=0.02, latency_ms=5)
ROWS = 1000


def accuracy(right: int, start: int = 0) -> Score:
    """`right` of ROWS answers are right, from row `start` on."""
    return Score("accuracy", True, np.roll(np.arange(ROWS) < right, start).astype(float), {})


def error(value: float) -> Score:
    return Score("rmse", False, np.linspace(0, 2 * value, ROWS), {})


def judged(
    candidate: Score, champion: Score | None = None, *, latency: float = 1, settings: GateSettings = SETTINGS
) -> dict[str, Check]:
    before = None if champion is None else Champion("3", "sample", champion)
    return {check.name: check for check in judge(candidate, "sample", latency, before, settings, seed=1)}


def failed(checks: dict[str, Check]) -> list[str]:
    return [name for name, check in checks.items() if not check.passed]


@pytest.mark.parametrize(
    ("score", "floor", "refused"),
    [
        (accuracy(800), 0.8, []),
        (accuracy(799), 0.8, ["floor"]),
        (error(0.5), 0.5, []),
        (error(0.51), 0.5, ["floor"]),
        (accuracy(900), float("nan"), ["floor"]),
    ],
)
def test_the_floor_is_a_least_or_a_most(score: Score, floor: float, refused: list[str]) -> None:
    assert failed(judged(score, settings=SETTINGS.model_copy(update={"floor": floor}))) == refused


def test_a_model_that_answers_nan_is_refused() -> None:
    broken = Score("r2", True, np.full(ROWS, np.nan), {})
    assert failed(judged(broken)) == ["floor"]
    assert failed(judged(broken, accuracy(900))) == ["floor", "champion"]


@pytest.mark.parametrize(("latency", "refused"), [(5, []), (5.01, ["latency"]), (float("nan"), ["latency"])])
def test_the_latency_budget(latency: float, refused: list[str]) -> None:
    assert failed(judged(accuracy(900), latency=latency)) == refused


def test_the_first_model_needs_no_champion_to_beat() -> None:
    checks = judged(accuracy(900))
    assert failed(checks) == []
    assert "no champion yet" in checks["champion"].reason


@pytest.mark.parametrize(
    ("candidate", "passed"),
    [
        (accuracy(900), True),  # the same answers
        (accuracy(960), True),  # better
        (accuracy(895), True),  # half a point lost for sure: within the margin
        (accuracy(850), False),  # five points lost
        (accuracy(870), False),  # three points lost, of which two are tolerated
        (accuracy(900, start=100), False),  # equal on average, but on so different rows that it could be much worse
    ],
)
def test_a_candidate_may_lose_no_more_than_the_margin_for_sure(candidate: Score, passed: bool) -> None:
    check = judged(candidate, accuracy(900))["champion"]
    assert check.passed == passed, check.reason
    assert "champion version 3 on the same rows" in check.reason


def test_where_lower_is_better_the_lower_one_wins() -> None:
    settings = GateSettings(floor=10, margin=0.02, latency_ms=5)
    assert failed(judged(error(0.4), error(0.5), settings=settings)) == []
    assert failed(judged(error(0.6), error(0.5), settings=settings)) == ["champion"]


def test_a_model_of_the_sample_never_replaces_one_of_the_full_data() -> None:
    champion = Champion("7", "full", accuracy(100))
    on_sample, on_full = (judge(accuracy(990), p, 1, champion, SETTINGS, 1)[-1] for p in ("sample", "full"))
    assert not on_sample.passed
    assert "version 7 was trained on the full data" in on_sample.reason
    assert on_full.passed


@pytest.mark.parametrize(("profile", "passed"), [("sample", True), ("full", True)])
def test_a_champion_that_cannot_answer_these_rows_is_not_compared(profile: str, passed: bool) -> None:
    check = judge(accuracy(900), profile, 1, Champion("2", "sample", None), SETTINGS, 1)[-1]
    assert check.passed == passed
    assert "cannot be compared" in check.reason


def test_the_full_data_rule_holds_for_an_incomparable_champion_too() -> None:
    assert not judge(accuracy(900), "sample", 1, Champion("2", "full", None), SETTINGS, 1)[-1].passed


def test_the_verdict_is_a_sentence_with_figures() -> None:
    good = verdict("titanic", list(judged(accuracy(960), accuracy(900)).values()))
    assert good["promoted"] is True
    assert good["summary"].startswith("titanic: promoted, since accuracy is 0.9600, at least 0.8 is asked; ")
    assert "95% of single requests take at most 1.00 ms, the budget is 5 ms" in good["summary"]
    assert "+0.0600 accuracy against champion version 3" in good["summary"]
    assert good["summary"].endswith(".")
    assert {name: check["passed"] for name, check in good["checks"].items()} == dict.fromkeys(
        ["floor", "latency", "champion"], True
    )


def test_a_refusal_gives_only_the_reasons_against() -> None:
    bad = verdict("titanic", list(judged(accuracy(700), latency=9).values()))
    assert bad["promoted"] is False
    assert bad["summary"] == (
        "titanic: refused, since accuracy is 0.7000, at least 0.8 is asked; "
        "95% of single requests take at most 9.00 ms, the budget is 5 ms."
    )
