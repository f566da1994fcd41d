"""A challenger gets copies of requests, and never affects a response."""

import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from roadmap.bundle import Bundle, load_predictor
from tests.support.challengers import HANGS, WOMAN, broken, count
from tests.support.waiting import until


def test_shadow_predictions_are_logged_beside_the_champions(visit: Any, artifacts: Path) -> None:
    with visit(shadow=1) as visitor:
        before = count("serving_arm_requests_total", version=visitor.challenger, role="shadow", outcome="answered")
        response = visitor.ask(**{"X-Request-ID": "r1"})
        assert response.headers["x-model-version"] == visitor.champion
    first, second = sorted(visitor.rows(), key=lambda row: row.version != visitor.champion)
    assert (first.version, second.version) == (visitor.champion, visitor.challenger)
    assert first.request_id == second.request_id == "r1" and first.input == second.input
    assert json.loads(first.output) == response.json()["outputs"][0]
    challenger = load_predictor(Bundle(artifacts / "titanic" / "challenger"))
    (own,) = challenger.predict([challenger.Request.model_validate(WOMAN)])
    assert json.loads(second.output) == own.model_dump()
    assert json.loads(second.output)["label"] != json.loads(first.output)["label"]
    after = count("serving_arm_requests_total", version=visitor.challenger, role="shadow", outcome="answered")
    assert after == before + 1
    assert count("serving_arm_requests_total", version=visitor.champion, role="champion") > 0


def test_only_the_sampled_fraction_is_shadowed(visit: Any) -> None:
    with visit(shadow=0.3) as visitor:
        for _ in range(300):
            visitor.ask()
    copied = sum(row.version == visitor.challenger for row in visitor.rows())
    assert 50 < copied < 140


def test_a_slow_challenger_delays_no_request_and_dropped_ones_are_counted(
    visit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = threading.Event()
    with visit(shadow=1) as visitor:
        visitor.client.app.state.challengers.mirror.max_inputs = 5
        model = visitor.slot.model
        model.queue.slowest = 1.0  # computes in a thread
        predict = model.predictor.predict
        monkeypatch.setattr(model.predictor, "predict", lambda inputs: held.wait(HANGS) and predict(inputs))
        before, began = count("serving_mirror_dropped_total", project="titanic"), time.monotonic()
        for _ in range(50):
            visitor.ask()
        assert time.monotonic() - began < HANGS
        dropped = count("serving_mirror_dropped_total", project="titanic") - before
        held.set()
    answered = sum(row.version == visitor.challenger for row in visitor.rows())
    assert dropped == 45 and answered == 5


def test_shadow_failures_are_counted_and_logged_once(
    visit: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with visit(shadow=1) as visitor:
        monkeypatch.setattr(visitor.slot.model.predictor, "predict", broken)
        before = count("serving_arm_requests_total", role="shadow", outcome="failed")
        assert {visitor.version() for _ in range(5)} == {visitor.champion}
        until(lambda: count("serving_arm_requests_total", role="shadow", outcome="failed") == before + 5)
    assert sum("fails: RuntimeError('broken on purpose')" in line for line in caplog.messages) == 1
    assert {row.version for row in visitor.rows()} == {visitor.champion}


def test_a_hanging_challenger_times_out(visit: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    held = threading.Event()
    with visit(shadow=1) as visitor:
        visitor.client.app.state.challengers.mirror.seconds = 0.1
        model = visitor.slot.model
        model.queue.slowest = 1.0  # computes in a thread
        monkeypatch.setattr(model.predictor, "predict", lambda inputs: held.wait(HANGS))
        before = count("serving_arm_requests_total", role="shadow", outcome="failed")
        for _ in range(3):
            assert visitor.version() == visitor.champion
        until(lambda: count("serving_arm_requests_total", role="shadow", outcome="failed") == before + 3)
        held.set()


def test_pairs_are_logged_together_or_not_at_all(visit: Any) -> None:
    with visit(shadow=1, predictions_share=0.5) as visitor:
        for number in range(200):
            visitor.ask(**{"X-Request-ID": f"r{number}"})
    before = {v: {row.request_id for row in visitor.rows() if row.version == v} for v in
             (visitor.champion, visitor.challenger)}  # fmt: skip
    assert before[visitor.champion] == before[visitor.challenger] and 60 < len(before[visitor.champion]) < 140


def test_other_endpoints_are_shadowed_too(visit: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODEL_PROJECT", "titanic")
    tensors = [{"name": name, "shape": [1], "datatype": "BYTES", "data": [value]} for name, value in WOMAN.items()]
    with visit(shadow=1) as visitor:
        assert visitor.client.post("/v2/models/titanic/infer", json={"inputs": tensors}).status_code == 200
        assert visitor.client.post("/invocations", json=WOMAN).status_code == 200
    assert sum(row.version == visitor.challenger for row in visitor.rows()) == 2
