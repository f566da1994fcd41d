"""The whole loop, automatically: drift is detected, a model retrained, a worse one rejected, a better one rolled out by
canary.

A real server, MLflow server and Airflow; callers send requests continuously and count failures.
"""

import json
import random
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines.titanic.data import CLASSES, UNUSUAL_EPISODE
from tests.support import airflow_runs
from tests.support.airflow_runs import Airflow, Listener, listening
from tests.support.checkouts import Checkout, checkout
from tests.support.servers import Running, serving
from tests.support.traffic import Callers, Exchange, Row, mlflow

pytestmark = [airflow_runs.needed]
WINDOW = 400
GROUPS = [(*group, died, survived) for group, (died, survived) in UNUSUAL_EPISODE.items()]


def quiet(rng: random.Random) -> tuple[Row, str]:
    """A passenger of 1912."""
    ((cls, sex, age, died, survived),) = rng.choices(GROUPS, [one[3] + one[4] for one in GROUPS])
    return {"class": cls, "sex": sex, "age": age}, CLASSES[rng.random() * (died + survived) >= died]


def drifted(rng: random.Random) -> tuple[Row, str]:
    """Half of the passengers travel in a new class, and nearly all of them survive."""
    row, truth = quiet(rng)
    return ({**row, "class": "4th"}, CLASSES[rng.random() < 0.95]) if rng.random() < 0.5 else (row, truth)


@dataclass
class World:
    clone: Checkout
    airflow: Airflow
    server: Running
    log: Path
    webhook: Listener

    def params(self, **model: Any) -> None:
        """Changes settings of titanic's model in the checkout."""
        path = self.clone.path("params.yaml")
        values = yaml.safe_load(path.read_text())
        values["projects"]["titanic"]["model"].update(model)
        values["projects"]["titanic"]["monitor"].update(cooldown_days=0, max_rows=WINDOW)
        path.write_text(yaml.safe_dump(values, sort_keys=False))

    def look(self) -> dict[str, Any]:
        """One monitoring run, through Airflow."""
        run = self.airflow.client.trigger("monitor_titanic")
        return dict(self.airflow.succeeds("monitor_titanic", run)["look"])

    def woken(self, dag: str, number: int) -> None:
        """Waits for the run that the n-th update of an asset triggered, and for its success."""
        deadline = time.monotonic() + 900
        while len(runs := sorted(self.airflow.runs(dag, "asset_triggered"))) < number:
            assert time.monotonic() < deadline, f"{dag}: {runs}"
            time.sleep(0.5)
        assert self.airflow.wait(dag, runs[number - 1]) == "success"

    def recorded(self, exchanges: Exchange) -> None:
        """Waits until this request is in the prediction log."""
        from pyarrow import parquet

        deadline = time.monotonic() + 600
        while not any(
            exchanges.request_id in parquet.ParquetFile(path).read(["request_id"])["request_id"].to_pylist()
            for path in self.log.glob("project=titanic/*/part-*.parquet")
        ):
            assert time.monotonic() < deadline, "the prediction log has no such request"
            time.sleep(0.5)

    def lines(self, name: str) -> list[dict[str, Any]]:
        path = self.clone.path("artifacts", "titanic", name)
        return [json.loads(line) for line in path.read_text().splitlines()]

    def decision(self) -> dict[str, Any]:
        return dict(json.loads(self.clone.path("artifacts", "titanic", "decision.json").read_text()))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    base = tmp_path_factory.mktemp("loop")
    clone, log = Checkout(checkout(base / "checkout")), base / "log"
    with ExitStack() as stack:
        uri = stack.enter_context(mlflow(f"sqlite:///{base}/mlflow.db", base))
        tracked: dict[str, Any] = {"MLFLOW_TRACKING_URI": uri}
        clone.run("dvc", "repro", "-q", "register@titanic", timeout=900, **tracked)
        options = ["--challengers", "models:/@canary", "--poll-seconds", "1", "--predictions", str(log)]
        options += ["--records", str(clone.path("artifacts"))]
        running = stack.enter_context(serving(base / "server.log", "models:/@staging", *options, **tracked))
        webhook = stack.enter_context(listening())
        airflow = Airflow(
            clone.folder, base / "home", ALERT_WEBHOOK=webhook.url, MLFLOW_TRACKING_URI=uri, DEPLOY_TARGET="server",
            DEPLOY_BAKE="2", SERVING_URL=running.address, SERVING_ALIAS="staging", SERVING_PREDICTIONS=str(log),
        )  # fmt: skip
        stack.callback(airflow.stop)
        airflow.connect()
        found = World(clone, airflow, running, log, webhook)
        found.params()
        yield found


def test_drift_triggers_retraining_without_a_lost_request(world: World, record_property: Any) -> None:
    client = world.airflow.client
    run = client.trigger("deploy", {"project": "titanic", "target": "server"})
    assert world.airflow.wait("deploy", run) == "success"
    first = json.loads(world.server.get("/models/titanic"))["version"]

    with Callers(world.server.address, quiet) as callers:
        # A quiet day: nothing happens.
        world.recorded(callers.more(WINDOW)[-1])
        assert world.look()["verdict"] == "quiet"
        assert callers.versions() == {first}
        assert client.ask("/api/v2/dags/titanic/dagRuns?limit=100")["total_entries"] == 0

        # A drifted day; its labels arrive later.
        callers.draws = drifted
        began = time.monotonic()
        strange = callers.more(2 * WINDOW)
        world.recorded(strange[-1])
        labels = world.log.with_suffix(".csv")
        known = [f"{one.request_id},{one.truth}" for one in strange]
        labels.write_text("\n".join(["request_id,label", *known]))
        world.clone.stage("label", "project=titanic", f"file={labels}", SERVING_PREDICTIONS=str(world.log))

        # It is retrained with a bad setting: that model is rejected.
        world.params(lr=1e-6)
        verdict = world.look()
        assert verdict["verdict"] == "drift" and verdict["retrain"], verdict
        assert "class: values differ" in verdict["summary"]
        world.woken("titanic", 1)
        refused = world.decision()
        assert not refused["promoted"], refused["summary"]
        assert json.loads(world.server.get("/models/titanic"))["version"] == first
        (window,) = json.loads(world.clone.path("feedback", "titanic", "windows.json").read_text())
        assert window["rows"] == len(strange)

        # With the setting corrected it is retrained, promoted, and rolled out by canary.
        world.params(lr=0.01)
        again, seen = time.monotonic(), len(callers.exchanges)
        world.recorded(callers.more(WINDOW)[-1])
        assert world.look()["retrain"]
        world.woken("titanic", 2)
        promoted = world.decision()
        assert promoted["promoted"], promoted["summary"]
        world.woken("deploy", 1)
        second = json.loads(world.server.get("/models/titanic"))["version"]
        assert second == promoted["bundle"] != first
        took = time.monotonic() - again
        after = callers.more(100)

    # No request failed, and the new model is better.
    assert callers.failed == []
    assert callers.versions(seen) == {first, second} and {one.version for one in after} == {second}
    assert right(after) > right(strange) + 0.1

    # Every step is recorded.
    assert [one["event"] for one in world.lines("promotions.jsonl") if one.get("alias", "champion") == "champion"] == [
        "promoted", "refused", "promoted",
    ]  # fmt: skip
    deployments = world.lines("deployments.jsonl")
    assert [(one["result"], one["to"]) for one in deployments] == [("deployed", first), ("deployed", second)]
    assert any("50% of the requests" in step["did"] for step in deployments[1]["steps"])
    news = " ".join(json.loads(body)["text"] for _, body in world.webhook.received)
    for words in ("titanic: drift in", "titanic: refused", "titanic: promoted", "titanic: deployed, target server"):
        assert words in news
    rows = {row["project"]: row for row in json.loads(world.server.get("/status?format=json"))["projects"]}
    row = rows["titanic"]
    assert (row["champion"], row["health"], row["drift"]["said"]) == (second, "ready", "drift"), row
    record_property("requests", len(callers.exchanges))
    print(
        f"{len(callers.exchanges):,} requests, 0 lost; {time.monotonic() - began:.0f} s since the shift; from the "
        f"second look to all requests {took:.0f} s; right {right(strange):.1%} before, {right(after):.1%} after"
    )


def right(exchanges: list[Exchange]) -> float:
    return sum(one.answer == one.truth for one in exchanges) / len(exchanges)
