"""The gate: which candidates are promoted, and the text of the decision."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from roadmap.config.limits import GateSettings
from roadmap.evaluation.scores import Score
from roadmap.promotion.gate import Candidate, Champion, Check, Cost, decision_record, evaluate_gate

SETTINGS = GateSettings(floor=0.8, maximum_regression=0.02, latency_ms=5, size_mb=1)
ROWS = 1000


def accuracy(right: int, start: int = 0) -> Score:
    """`right` of ROWS predictions are right, from row `start` on."""
    return Score("accuracy", True, np.roll(np.arange(ROWS) < right, start).astype(float), {})


def error(value: float) -> Score:
    return Score("rmse", False, np.linspace(0, 2 * value, ROWS), {})


def candidate(score: Score, **changes: Any) -> Candidate:
    return replace(Candidate("sample", {"test": score}, latency_ms=1, size_bytes=1000), **changes)


def evaluate(
    score: Score, champion: Score | None = None, settings: GateSettings = SETTINGS, **changes: Any
) -> dict[str, Check]:
    before = None if champion is None else Champion("3", "sample", {"test": champion})
    return {check.name: check for check in evaluate_gate(candidate(score, **changes), before, settings, seed=1)}


def with_recent(test: tuple[Score, Score], recent: tuple[Score, Score], **settings: float) -> Check:
    """The comparison of a candidate and a champion on both sets of rows."""
    new, old = ({"test": test[i], "recent": recent[i]} for i in (0, 1))
    checks = evaluate_gate(
        candidate(test[0], scores=new), Champion("3", "sample", old), SETTINGS.model_copy(update=settings), 1
    )
    return next(check for check in checks if check.name == "champion")


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
def test_the_floor_is_a_minimum_or_a_maximum(score: Score, floor: float, refused: list[str]) -> None:
    assert failed(evaluate(score, settings=SETTINGS.model_copy(update={"floor": floor}))) == refused


def test_a_model_that_predicts_nan_is_rejected() -> None:
    broken = Score("r2", True, np.full(ROWS, np.nan), {})
    assert failed(evaluate(broken)) == ["floor"]
    assert failed(evaluate(broken, accuracy(900))) == ["floor", "champion"]


@pytest.mark.parametrize(("latency", "refused"), [(5, []), (5.01, ["latency"]), (float("nan"), ["latency"])])
def test_the_latency_budget(latency: float, refused: list[str]) -> None:
    assert failed(evaluate(accuracy(900), latency_ms=latency)) == refused


@pytest.mark.parametrize(("size", "refused"), [(1_000_000, []), (1_000_001, ["size"])])
def test_the_size_budget(size: int, refused: list[str]) -> None:
    assert failed(evaluate(accuracy(900), size_bytes=size)) == refused


def test_a_model_that_was_lucky_on_most_rows_is_refused_for_its_worst_tenth() -> None:
    returns = np.array([500.0] * 180 + [20.0] * 20)
    lucky = candidate(Score("mean_return", True, returns, {}))
    settings = SETTINGS.model_copy(update={"floor": 400, "worst_tenth": 300})
    checks = {check.name: check for check in evaluate_gate(lucky, None, settings, 0)}
    assert checks["floor"].passed and not checks["worst tenth"].passed
    assert checks["worst tenth"].reason == "mean_return of the worst tenth is 20.0000, required: at least 300"
    errors = Score("pinball", False, np.array([1.0] * 9 + [8.0]), {})
    assert errors.worst_tenth == 8


def test_a_model_that_was_lucky_on_few_rows_is_refused_by_its_floor() -> None:
    """Nine of ten episodes of 500 and one of 20: 452. So few of them may be luck, many not."""
    settings = SETTINGS.model_copy(update={"floor": 440})
    sure = settings.model_copy(update={"confidence": 0.95})
    for rows, passed in ((20, False), (2_000, True)):
        score = Score("mean_return", True, np.array(([500.0] * 9 + [20.0]) * (rows // 10)), {})
        for asked, expected in ((settings, True), (sure, passed)):
            assert evaluate_gate(candidate(score), None, asked, 0)[0].passed == expected
    reason = evaluate_gate(candidate(score), None, sure, 0)[0].reason
    assert reason.startswith("mean_return is 452.0000, at least 44")
    assert reason.endswith(" with 0.95 confidence by 2,000 rows, required: at least 440")
    errors = Score("mae", False, np.array([1.0, 3.0] * 10), {})
    assert errors.bound(0.95, 0) > errors.value == 2


def test_failed_behavioural_checks_are_named() -> None:
    shown = {"a mirror": {"rate": 0.9, "asked": 0.8, "cases": 10, "passed": True}}
    assert failed(evaluate(accuracy(900), behaviour=shown)) == []
    shown["plainly good"] = {"rate": 0.5, "asked": 0.9, "cases": 20, "passed": False}
    checks = evaluate(accuracy(900), behaviour=shown)
    assert failed(checks) == ["behaviour"]
    assert checks["behaviour"].reason == "'plainly good' passes in 50.0% of 20 cases, required: 90.0%"


def test_the_first_model_needs_no_champion() -> None:
    checks = evaluate(accuracy(900))
    assert failed(checks) == []
    assert "no champion yet" in checks["champion"].reason


@pytest.mark.parametrize(
    ("score", "effect", "passed"),
    [
        (accuracy(960), 0.0, True),
        (accuracy(905), 0.0, True),  # five rows won and none lost
        (accuracy(904), 0.0, False),  # four: chance in one of sixteen cases
        (accuracy(900, start=50), 0.0, False),  # equal on average
        (accuracy(850), 0.0, False),
        (accuracy(930), 0.02, True),
        (accuracy(925), 0.02, False),  # better, but not significantly by as much
        (accuracy(895), -0.02, True),  # half a point lost, where two are tolerated
        (accuracy(880), -0.02, False),
        (accuracy(900, start=100), -0.02, False),  # equal on average, but on so different rows that it might be worse
    ],
)
def test_a_candidate_must_significantly_exceed_the_minimum_improvement(
    score: Score, effect: float, passed: bool
) -> None:
    check = evaluate(score, accuracy(900), SETTINGS.model_copy(update={"minimum_improvement": effect}))["champion"]
    assert check.passed == passed, check.reason
    assert "champion version 3 on the same 1000 test rows" in check.reason


@pytest.mark.parametrize("effect", [0.0, -0.1])
def test_an_equal_candidate_is_not_promoted(effect: float) -> None:
    check = evaluate(accuracy(900), accuracy(900), SETTINGS.model_copy(update={"minimum_improvement": effect}))[
        "champion"
    ]
    assert not check.passed and "on each of 1000 rows" in check.reason


def test_for_errors_the_lower_one_wins() -> None:
    settings = SETTINGS.model_copy(update={"floor": 10})
    assert failed(evaluate(error(0.4), error(0.5), settings)) == []
    assert failed(evaluate(error(0.6), error(0.5), settings)) == ["champion"]


def test_with_recent_rows_one_set_is_won_and_none_lost() -> None:
    better, same = (accuracy(960), accuracy(900)), (accuracy(900), accuracy(900))
    slightly, worse = (accuracy(897), accuracy(900)), (accuracy(850), accuracy(900))
    assert with_recent(same, better).passed
    assert with_recent(better, better).passed
    assert with_recent(slightly, better).passed
    lost = with_recent(worse, better)
    assert not lost.passed and "a larger loss is possible" in lost.reason
    assert with_recent(worse, better, maximum_regression=0.1).passed
    assert not with_recent(slightly, slightly).passed
    # Five rows are enough on one set (p = 0.031), but not with two sets.
    assert not with_recent((accuracy(905), accuracy(900)), slightly).passed


def test_a_regressed_slice_blocks_an_overall_improvement() -> None:
    rows = np.arange(ROWS)
    few = rows < 60
    right = np.where(few, rows < 20, rows < 990).astype(float)
    before = np.where(few, rows < 55, rows < 900).astype(float)
    candidate, champion = (Score("accuracy", True, each, {}) for each in (right, before))
    slices = {"test": {"few": few, "many": ~few}}
    checks = evaluate(candidate, champion, slices=slices)
    assert failed(checks) == ["slices"]
    assert "slice few (60 test rows) loses 0.5833, tolerated: 0.02" in checks["slices"].reason
    assert (
        failed(evaluate(candidate, champion, SETTINGS.model_copy(update={"maximum_regression": 0.6}), slices=slices))
        == []
    )


def test_small_slices_are_not_tested() -> None:
    few = np.arange(ROWS) < 29
    candidate, champion = accuracy(960), accuracy(900)
    candidate.per_item[few], champion.per_item[few] = 0, 1
    checks = evaluate(candidate, champion, slices={"test": {"few": few}})
    assert checks["slices"].passed and "none of 0 slices" in checks["slices"].reason


def test_many_equal_slices_rarely_block_a_better_model() -> None:
    """Corrected for the number of slices: 20 slices that change only by chance."""
    rng, refused = np.random.default_rng(0), 0
    masks = {str(part): np.arange(ROWS) % 20 == part for part in range(20)}
    for _ in range(100):
        champion = rng.random(ROWS) < 0.8
        flipped = rng.random(ROWS) < 0.1
        candidate = np.where(flipped, rng.random(ROWS) < 0.8, champion)
        one, other = (Score("accuracy", True, each.astype(float), {}) for each in (candidate, champion))
        refused += "slices" in failed(evaluate(one, other, slices={"test": masks}))
    assert refused <= 10


def test_a_sample_model_never_replaces_a_full_one() -> None:
    champion = Champion("7", "full", {"test": accuracy(100)})
    on_sample, on_full = (
        {check.name: check for check in evaluate_gate(candidate(accuracy(990), profile=profile), champion, SETTINGS, 1)}
        for profile in ("sample", "full")
    )
    assert failed(on_sample) == ["champion"]
    assert "version 7 was trained on the full data" in on_sample["champion"].reason
    assert failed(on_full) == []


def test_an_incomparable_champion_is_not_compared() -> None:
    check = evaluate_gate(candidate(accuracy(900)), Champion("2", "sample", None), SETTINGS, 1)[-1]
    assert check.passed and "cannot be compared" in check.reason


def test_the_full_profile_rule_holds_for_incomparable_champions() -> None:
    assert not evaluate_gate(candidate(accuracy(900)), Champion("2", "full", None), SETTINGS, 1)[-1].passed


def test_the_decision_is_a_paragraph_with_figures() -> None:
    good = decision_record("titanic", list(evaluate(accuracy(960), accuracy(900)).values()))
    assert good["promoted"] is True
    assert good["summary"].startswith("titanic: promoted because accuracy is 0.9600, required: at least 0.8; ")
    assert "p95 latency of single requests is 1.00 ms, budget: 5 ms" in good["summary"]
    assert "+0.0600 accuracy against champion version 3" in good["summary"]
    assert "by the exact McNemar test, which is more than 0" in good["summary"]
    assert good["summary"].endswith(".")
    assert {name: check["passed"] for name, check in good["checks"].items()} == dict.fromkeys(
        ["floor", "latency", "size", "behaviour", "champion", "slices"], True
    )


def test_a_rejection_gives_its_reasons_and_names_passed_checks() -> None:
    bad = decision_record("titanic", list(evaluate(accuracy(700), latency_ms=9).values()))
    assert bad["promoted"] is False
    assert bad["summary"] == (
        "titanic: refused because accuracy is 0.7000, required: at least 0.8; "
        "p95 latency of single requests is 9.00 ms, budget: 5 ms. "
        "Passed checks: size, behaviour, champion."
    )


@pytest.mark.parametrize(
    ("cost", "score", "refused", "words"),
    [
        (
            Cost("int8_static", 0.7, 0.6, 0.8, 0.3),
            accuracy(900),
            [],
            "int8_static takes 0.70 times the champion's CPU time",
        ),
        (Cost("int8_static", 0.7, 0.6, 0.8, 0.3), accuracy(899), [], "tolerated: -0.02"),
        (Cost("int8_static", 0.7, 0.6, 0.8, 0.3), accuracy(875), ["champion"], "a larger loss is possible"),
        (Cost("fp16", 1.4, 1.2, 1.6, 0.5), accuracy(900), ["precision"], "slower here, keep the champion's precision"),
        (Cost("int4_weights", 1.0, 0.97, 1.04, 0.5), accuracy(900), [], "as fast, and smaller"),
        (Cost("int4_weights", 1.0, 0.97, 1.04, 0.95), accuracy(900), ["precision"], "not shown to be faster"),
        (Cost("int4_weights", 1.0, 0.8, 1.3, 0.5), accuracy(900), ["precision"], "not shown to be faster"),
    ],
)
def test_another_precision_need_not_improve_but_be_cheaper(
    cost: Cost, score: Score, refused: list[str], words: str
) -> None:
    checks = evaluate(score, accuracy(900), cost=cost)
    assert failed(checks) == refused and set(checks) >= {"champion", "slices", "precision"}
    assert words in decision_record("mnist", list(checks.values()))["summary"]


def test_another_precision_must_not_lose_in_a_slice() -> None:
    old, new = accuracy(900), accuracy(900, start=20)  # the same accuracy, lost in the first rows
    cost, slices = Cost("int8_static", 0.5, 0.4, 0.6, 0.3), {"test": {"first": np.arange(ROWS) < 40}}
    assert failed(evaluate(new, old, cost=cost, slices=slices)) == ["slices"]
