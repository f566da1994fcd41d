"""A challenger answers a share of the callers, and the champion answers where it fails."""

import threading
import time
from typing import Any

import pytest
from starlette.requests import Request

from serving.auth.callers import Caller
from serving.http import answering
from serving.split import bucket
from tests.support.challengers import HANGS, WOMAN, broken, count


def test_the_split_is_sticky_and_keeps_its_share(visit: Any) -> None:
    with visit(split=0.3) as visitor:
        first = {f"c{n}": visitor.version(f"c{n}") for n in range(200)}
        assert first == {name: visitor.version(name) for name in first}
        assert set(first.values()) == {visitor.champion, visitor.challenger}
        assert 35 < sum(version == visitor.challenger for version in first.values()) < 90
        assert count("serving_arm_requests_total", version=visitor.challenger, role="challenger") >= 70
    versions = [row.version for row in visitor.rows()]
    assert versions.count(visitor.challenger) == 2 * list(first.values()).count(visitor.challenger)


def test_the_next_challenger_reshuffles_callers() -> None:
    callers = [f"caller c{n}" for n in range(1000)]
    found = [{who for who in callers if bucket("p", version, who) < 0.5} for version in ("v1", "v2")]
    assert all(450 < len(those) < 550 for those in found)
    assert 200 < len(found[0] & found[1]) < 300


def test_a_caller_is_identified_by_header_key_or_address() -> None:
    scope: dict[str, Any] = {"type": "http", "headers": [], "client": ("2001:db8:1:2:3:4:5:6", 50000)}
    assert answering.caller_of(Request(scope)) == "address 2001:db8:1:2::/64"
    scope["state"] = {"caller": Caller("ci", frozenset())}
    assert answering.caller_of(Request(scope)) == "key ci"
    scope["headers"] = [(b"x-caller-id", b"ann")]
    assert answering.caller_of(Request(scope)) == "caller ann"


def test_a_failing_challenger_falls_back_to_the_champion(visit: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with visit(split=1) as visitor:
        assert visitor.version() == visitor.challenger
        monkeypatch.setattr(visitor.slot.model.predictor, "predict", broken)
        before = count("serving_fallbacks_total", project="titanic")
        assert visitor.version() == visitor.champion
        assert count("serving_fallbacks_total", project="titanic") == before + 1
        assert count("serving_arm_requests_total", version=visitor.challenger, outcome="failed") >= 1
    assert [row.version for row in visitor.rows()] == [visitor.challenger, visitor.champion]


def test_a_hanging_challenger_falls_back_in_time(visit: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    held = threading.Event()
    with visit(split=1, threads=1) as visitor:
        model = visitor.slot.model
        model.queue.slowest = 4.0
        monkeypatch.setattr(model.predictor, "predict", lambda inputs: held.wait(HANGS))
        visitor.client.app.state.store.slots["titanic"].model.queue.slowest = 4.0  # the only thread must be free
        began = time.monotonic()
        assert visitor.version(**{"X-Request-Timeout": "4"}) == visitor.champion
        assert time.monotonic() - began > 1.9
        held.set()


def test_an_explicit_version_is_never_split(visit: Any) -> None:
    tensors = [{"name": name, "shape": [1], "datatype": "BYTES", "data": [value]} for name, value in WOMAN.items()]
    with visit(split=1) as visitor:
        path = "/v2/models/titanic{}/infer"
        named, free = (
            visitor.client.post(path.format(part), json={"inputs": tensors}).json()["model_version"]
            for part in (f"/versions/{visitor.champion}", "")
        )
        assert (named, free) == (visitor.champion, visitor.challenger)


def test_invalid_requests_are_rejected_as_before(visit: Any) -> None:
    with visit(split=1, shadow=1) as visitor:
        response = visitor.client.post("/models/titanic/predict", json={"inputs": [{"class": 1}]})
        assert response.status_code == 422
