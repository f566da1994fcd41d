"""A challenger: it gets shadow requests or a share of the callers, and never affects responses."""

import json
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from pydantic import BaseModel, ValidationError, create_model
from starlette.requests import Request

from roadmap.bundle import MANIFEST, Bundle, Manifest, load_predictor
from roadmap.prediction_log import log as recording
from roadmap.prediction_log.log import PredictionRecord
from serving.auth.callers import Caller
from serving.http import answering
from serving.http.app import create_app
from serving.observability import metrics
from serving.runtime.mirror import convert_inputs
from serving.settings import Settings
from serving.split import bucket
from tests.support import bundles
from tests.support.waiting import until

WOMAN = {"class": "1st", "sex": "female", "age": "adult"}
MINUTE = timedelta(minutes=1)
HANGS = 120.0  # seconds, as long as a predictor that hangs


@pytest.fixture
def artifacts(tmp_path: Path) -> Path:
    """titanic, and a challenger that predicts the opposite."""
    folder = tmp_path / "artifacts"
    bundles.titanic(folder / "titanic" / "bundle")
    bundles.house_prices(folder / "house_prices" / "bundle")
    bundles.titanic(folder / "titanic" / "challenger", opposite=True)
    return folder


class Visitor:
    def __init__(self, client: TestClient, artifacts: Path, log: str) -> None:
        self.client, self.log = client, log
        self.champion, self.challenger = (
            Manifest.model_validate_json((artifacts / "titanic" / name / MANIFEST).read_bytes()).version
            for name in ("bundle", "challenger")
        )

    def ask(self, caller: str = "", path: str = "/models/titanic/predict", **headers: str) -> Any:
        if caller:
            headers["X-Caller-Id"] = caller
        response = self.client.post(path, json={"inputs": [WOMAN]}, headers=headers)
        assert response.status_code == 200, response.text
        return response

    def version(self, caller: str = "", **headers: str) -> str:
        response = self.ask(caller, **headers)
        assert response.json()["model"]["version"] == response.headers["x-model-version"]
        return str(response.headers["x-model-version"])

    @property
    def slot(self) -> Any:
        return self.client.app.state.challengers.store.slots["titanic"]  # type: ignore[attr-defined]

    def rows(self) -> list[PredictionRecord]:
        now = datetime.now(UTC)
        return list(recording.read(self.log, "titanic", now - MINUTE, now + MINUTE))


@pytest.fixture
def visit(artifacts: Path, tmp_path: Path) -> Callable[..., Any]:
    @contextmanager
    def started(**settings: Any) -> Iterator[Visitor]:
        log = str(tmp_path / "log")
        given = {"bundles": str(artifacts), "challengers": str(artifacts), "predictions": log, "poll_seconds": 0}
        with TestClient(create_app(Settings(**{**given, **settings}))) as client:
            yield Visitor(client, artifacts, log)

    return started


def count(name: str, **labels: str) -> float:
    """The current sum in /metrics over all series with these labels."""
    found = 0.0
    for line in metrics.render()[0].decode().splitlines():
        if match := re.fullmatch(rf"{name}{{(.*)}} ([\d.e+]+)", line):
            has = dict(re.findall(r'(\w+)="([^"]*)"', match[1]))
            found += float(match[2]) * (labels.items() <= has.items())
    return found


def broken(*_: Any) -> Any:
    raise RuntimeError("broken on purpose")


# ---------------------------------------------------------------- copies


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


# ---------------------------------------------------------------- a share of the callers


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


# ---------------------------------------------------------------- which challenger


def test_a_corrupt_challenger_leaves_all_callers_with_the_champion(visit: Any, artifacts: Path) -> None:
    (artifacts / "titanic" / "challenger" / "model.onnx").write_bytes(b"nothing")
    with visit(split=1, shadow=1) as visitor:
        assert visitor.version() == visitor.champion
        assert visitor.slot.info.status == "refused"


@pytest.mark.parametrize("share", [{"split": 1}, {"shadow": 1}])
def test_a_promotion_ends_the_comparison(visit: Any, artifacts: Path, share: dict[str, float]) -> None:
    with visit(**share) as visitor:
        before = count("serving_arm_requests_total", version=visitor.challenger)
        visitor.ask()
        until(lambda: count("serving_arm_requests_total", version=visitor.challenger) > before)  # it comes later
        home = artifacts / "titanic"
        shutil.rmtree(home / "bundle")
        shutil.copytree(home / "challenger", home / "bundle")
        visitor.client.app.state.store.refresh()
        before = count("serving_arm_requests_total")
        assert visitor.version() == visitor.challenger
        assert count("serving_arm_requests_total") == before


def test_a_champion_is_not_loaded_twice(visit: Any, artifacts: Path) -> None:
    with visit(split=1) as visitor:
        assert set(visitor.client.app.state.challengers.store.slots) == {"titanic"}
    elsewhere = artifacts.parent / "elsewhere"
    shutil.copytree(artifacts / "titanic" / "challenger", elsewhere / "titanic" / "bundle")
    with visit(split=1, challengers=str(elsewhere)) as visitor:
        assert visitor.version() == visitor.challenger


def test_challengers_are_replaced_and_withdrawn(visit: Any, artifacts: Path) -> None:
    home = artifacts / "titanic"
    with visit(split=1) as visitor:
        store = visitor.client.app.state.challengers.store
        newer = bundles.another(home / "challenger", "newer").version
        store.refresh()
        assert visitor.version() == newer != visitor.challenger
        assert count("serving_model_info", role="challenger", version=newer) == 1
        shutil.rmtree(home)
        store.refresh()
        assert visitor.version() == visitor.champion
        assert count("serving_model_info", role="challenger", project="titanic") == 0


def test_inputs_are_converted_for_another_request_type() -> None:
    class Served:
        input_limit = 10

        def __init__(self, **fields: Any) -> None:
            self.request = create_model("asked", **fields)
            self.batch = create_model("batch", inputs=(list[self.request], ...))  # type: ignore[name-defined]

    old, same, new, other = (
        Served(**fields)
        for fields in ({"a": (int, ...)}, {"a": (int, ...)}, {"a": (float, ...), "b": (int, 1)}, {"c": (int, ...)})
    )
    inputs: list[BaseModel] = [old.request(a=3)]
    champion: Any = inputs
    assert convert_inputs(champion, same) is inputs  # type: ignore[arg-type]
    (made,) = convert_inputs(champion, new)  # type: ignore[arg-type]
    assert type(made) is new.request and made.model_dump() == {"a": 3.0, "b": 1}
    with pytest.raises(ValidationError):
        convert_inputs(champion, other)  # type: ignore[arg-type]
