"""target=server with a canary: a real server follows the stage's alias of a real MLflow server under constant
traffic."""

import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.deploy.arms import TrafficCounters, arms
from tests.support.infra.deployments import Champions, champions, command
from tests.support.servers import Running
from tests.support.traffic import Callers, mlflow

WHERE = ("target=server", "project=titanic", "stage=staging", "steps=0.3,0.6", "bake=1")


@pytest.fixture
def staged(
    server: Callable[..., Any], tmp_path: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Champions, Running]]:
    store = champions(tmp_path)
    monkeypatch.chdir(tmp_path)  # records are in artifacts/
    with mlflow(store.uri, tmp_path) as uri:
        options = ("--challengers", "models:/@canary", "--poll-seconds", "0.3")
        with server("models:/@staging", *options, MLFLOW_TRACKING_URI=uri) as running:
            for name, value in (("MLFLOW_TRACKING_URI", uri), ("SERVING_URL", running.address)):
                monkeypatch.setenv(name, value)
            monkeypatch.setenv("SERVING_ALIAS", "staging")
            yield store, running


def aliases(store: Champions) -> dict[str, str]:
    numbers = {str(number): version for version, number in store.versions.items()}
    return {
        alias: numbers[str(number)] for alias, number in store.client.get_registered_model("titanic").aliases.items()
    }


def test_a_canary_gets_its_share_and_then_all_traffic(
    staged: tuple[Champions, Running], capsys: pytest.CaptureFixture[str]
) -> None:
    store, running = staged
    store.promote(store.first)
    assert command(capsys, *WHERE)[0] == 0, "the first version has no traffic to share"
    assert aliases(store)["staging"] == store.first
    store.promote(store.second)
    code, out, _ = command(capsys, "plan", *WHERE)
    assert code == 0 and "it gets 30%, 60% of the callers" in out

    with Callers(running.address) as callers:
        assert {one.version for one in callers.more(20)} == {store.first}
        code, out, err = command(capsys, *WHERE)
        shared = callers.versions()
        assert {one.version for one in callers.more(20)[1:]} == {store.second}  # one may have been in flight
    assert code == 0, err
    assert callers.failed == [] and shared == {store.first, store.second}
    assert "it has no traffic yet" in out and "the new version has 60% of the requests" in out
    assert aliases(store) == {"champion": store.second, "staging": store.second}

    code, out, err = command(capsys, "rollback", *WHERE)
    assert code == 0, err
    assert aliases(store)["staging"] == store.first
    assert json.loads(running.get("/models/titanic"))["version"] == store.first


def test_a_failing_canary_is_rolled_back(
    staged: tuple[Champions, Running], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, running = staged
    store.promote(store.first)
    command(capsys, *WHERE)
    store.promote(store.second)
    looks = itertools.count(1)  # more and more responses, a tenth of them failures

    def sick(text: str, project: str) -> dict[str, TrafficCounters]:
        number = next(looks) if halfway(text) else 0
        return {store.second: TrafficCounters(succeeded=50 * number, failed=5 * number)}

    monkeypatch.setattr("infra.deploy.targets.staged.arms", sick)
    with Callers(running.address) as callers:
        code, out, err = command(capsys, *WHERE)
    assert code != 0 and "9% of the new version's" in err and "responses failed" in err
    assert "rolled back" in out
    assert aliases(store) == {"champion": store.second, "staging": store.first}
    assert callers.failed == [] and json.loads(running.get("/models/titanic"))["version"] == store.first


def halfway(metrics: str) -> bool:
    """Whether callers other than the deployment have reached the canary."""
    found = arms(metrics, "titanic")
    return len(found) > 1 and min(one.succeeded for one in found.values()) > 5


def test_traffic_counters_are_read_from_the_server() -> None:
    text = """
# TYPE serving_arm_requests_total counter
serving_arm_requests_total{outcome="answered",project="titanic",role="champion",version="a"} 40.0
serving_arm_requests_total{outcome="answered",project="titanic",role="challenger",version="b"} 30.0
serving_arm_requests_total{outcome="failed",project="titanic",role="challenger",version="b"} 10.0
serving_arm_requests_total{outcome="failed",project="mnist",role="challenger",version="c"} 10.0
# TYPE serving_arm_seconds histogram
serving_arm_seconds_sum{project="titanic",role="challenger",version="b"} 30.0
serving_arm_seconds_count{project="titanic",role="challenger",version="b"} 30.0
serving_arm_seconds_sum{project="titanic",role="champion",version="a"} 4.0
"""
    found = arms(text, "titanic")
    assert found == {"a": TrafficCounters(40, 0, 4), "b": TrafficCounters(30, 10, 30)}
    assert found["b"].alarms(found["a"]) == [
        "25% of the new version's 40 responses failed",
        "the new version takes 1000 ms, the old one 100 ms",
    ]
    assert found["b"].since(TrafficCounters(29, 10, 29.9)).alarms(found["a"]) == []


@pytest.mark.parametrize(
    ("env", "message"),
    [
        ({"SERVING_ALIAS": "production"}, "the server follows 'production'"),
        ({"SERVING_ALIAS": "staging", "MLFLOW_TRACKING_URI": "sqlite:///x.db"}, "needs an MLflow server"),
    ],
)
def test_an_invalid_setting_is_reported(
    env: dict[str, str], message: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    code, _, err = command(capsys, *WHERE)
    assert code == 2 and message in err
