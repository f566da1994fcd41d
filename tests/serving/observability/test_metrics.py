"""Metrics: correct counts, over all workers, and bounded cardinality."""

import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families

from serving.http.app import create_app
from serving.observability import metrics
from serving.settings import Settings
from tests.support import bundles
from tests.support.waiting import until

PREDICT = "/models/{name}/predict"


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("artifacts")
    bundles.titanic(folder / "titanic" / "bundle")
    return folder


def samples(page: str) -> Counter[tuple[str, frozenset[tuple[str, str]]]]:
    """Value by name and labels. Tests compare differences, since one process counts for all tests."""
    return Counter(
        {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(page)
            for sample in family.samples
        }
    )


def key(name: str, **labels: str) -> tuple[str, frozenset[tuple[str, str]]]:
    return name, frozenset(labels.items())


def test_requests_batches_and_models_are_counted(artifacts: Path) -> None:
    with TestClient(create_app(Settings(bundles=str(artifacts)))) as client:
        before = samples(client.get("/metrics").text)
        for count in (1, 3):
            response = client.post("/models/titanic/predict", json={"inputs": [{}] * count})
        client.post("/models/titanic/predict", json={"inputs": []})
        page = client.get("/metrics")
    assert page.headers["content-type"].startswith("text/plain; version=0.0.4")
    after = samples(page.text)

    def grew(name: str, **labels: str) -> float:
        return after[key(name, **labels)] - before[key(name, **labels)]

    assert grew("serving_requests_total", route=PREDICT, project="titanic", status="200") == 2
    assert grew("serving_requests_total", route=PREDICT, project="", status="422") == 1
    assert grew("serving_request_seconds_count", route=PREDICT, project="titanic") == 2
    assert grew("serving_request_seconds_bucket", route=PREDICT, project="titanic", le="+Inf") == 2
    assert grew("serving_batch_size_sum", project="titanic") == 4
    assert grew("serving_batch_seconds_count", project="titanic") == 2
    assert after[key("serving_queue_length", project="titanic")] == 0
    assert after[key("serving_in_flight")] == 1  # this request itself
    version = response.headers["x-model-version"]
    assert after[key("serving_model_info", project="titanic", role="champion", version=version)] == 1
    assert after[key("process_resident_memory_bytes")] > 2**20


def test_loads_swaps_and_refusals_are_counted(tmp_path: Path) -> None:
    bundles.titanic(tmp_path / "titanic" / "bundle")
    app = create_app(Settings(bundles=str(tmp_path), poll_seconds=0))
    with TestClient(app) as client:
        before = samples(client.get("/metrics").text)
        bundles.house_prices(tmp_path / "house_prices" / "bundle")
        (tmp_path / "house_prices" / "bundle" / "model.onnx").write_bytes(b"no graph")
        app.state.store.refresh()
        metrics.model_loaded("titanic", "another", 0.5)
        after = samples(client.get("/metrics").text)
    refused = key("serving_load_failures_total", project="house_prices")
    assert after[refused] - before[refused] == 1
    assert (
        after[key("serving_swaps_total", project="titanic")] - before[key("serving_swaps_total", project="titanic")]
        == 1
    )
    served = {("project", "titanic"), ("role", "champion")}  # other tests may have left a challenger
    versions = [labels for name, labels in after if name == "serving_model_info" and labels >= served]
    assert versions == [frozenset({*served, ("version", "another")})]


def test_tokens_give_a_rate(artifacts: Path) -> None:
    with TestClient(create_app(Settings(bundles=str(artifacts)))) as client:
        metrics.tokens("mini_gpt", 60)
        first = samples(client.get("/metrics").text)
        metrics.tokens("mini_gpt", 40)
        second = samples(client.get("/metrics").text)
    name = key("serving_tokens_total", project="mini_gpt")
    assert second[name] - first[name] == 40


def test_callers_cannot_create_unbounded_series(artifacts: Path) -> None:
    with TestClient(create_app(Settings(bundles=str(artifacts)))) as client:
        client.get("/models/x")
        client.get("/x")
        client.request("X", "/models")
        client.post("/models/x/predict", json={})
        before = len(samples(client.get("/metrics").text))
        for number in range(50):
            client.get(f"/models/{number}")
            client.get(f"/{number}", headers={"X-Request-ID": str(number)})
            client.request(f"METHOD{number}", "/models")
            client.post(f"/models/{number}/predict", json={"inputs": [number]})
        assert len(samples(client.get("/metrics").text)) == before


def test_counting_is_cheap() -> None:
    metrics.start()
    for count in (metrics.batch, metrics.queue, metrics.tokens):
        arguments = ("titanic", 3, 0.01) if count is metrics.batch else ("titanic", 3)
        best = min(_seconds(count, *arguments) for _ in range(5))
        assert best < 20e-6, count  # 1 to 5 us


def _seconds(function: Callable[..., None], *arguments: Any) -> float:
    began = time.thread_time()
    for _ in range(1000):
        function(*arguments)
    return (time.thread_time() - began) / 1000


def test_any_worker_reports_for_all_including_killed_ones(
    artifacts: Path, server: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "metrics").mkdir()
    with server(str(artifacts), "--workers", "2", PROMETHEUS_MULTIPROC_DIR=str(tmp_path / "metrics")) as running:
        requested = 0

        def both_have_answered() -> bool:
            nonlocal requested
            assert running.post("/models/titanic/predict", {"inputs": [{}]}) == 200  # a connection of its own
            requested += 1
            return len(list((tmp_path / "metrics").glob("counter_*.db"))) == 2

        until(both_have_answered)
        name = key("serving_requests_total", route=PREDICT, project="titanic", status="200")
        assert samples(running.get("/metrics"))[name] == requested
        victim = max(running.children())
        os.kill(victim, signal.SIGKILL)
        until(lambda: victim not in running.children())
        for _ in range(5):
            assert running.post("/models/titanic/predict", {"inputs": [{}]}, patience=20) == 200
        found = samples(running.get("/metrics"))
        assert found[name] == requested + 5
        until(lambda: samples(running.get("/metrics"))[key("serving_in_flight")] == 1)  # not the dead one's
        assert found[key("process_resident_memory_bytes")] > 20 * 2**20
