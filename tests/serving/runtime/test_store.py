"""The model store while bundles are added, changed, corrupted and removed."""

import asyncio
import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
import uvicorn
from fastapi.testclient import TestClient

from roadmap.bundle import Bundle, write_manifest
from serving.http.app import create_app
from serving.settings import Settings
from serving.sources import BundleSource, DiscoveredBundle, SourceError
from tests.support import bundles
from tests.support.waiting import until


@pytest.fixture
def artifacts(tmp_path: Path) -> Path:
    return bundles.make_all(tmp_path / "artifacts")


def reseal(folder: Path, **changes: Any) -> str:
    """-> the version"""
    lineage = json.loads((folder / "bundle.json").read_text())
    del lineage["files"]
    return write_manifest(folder, **{**lineage, **changes}).version


def newer(folder: Path, number: int) -> str:
    """The same model with another example, hence another version; replaces the folder like training."""
    draft = folder.with_name("draft")
    shutil.copytree(folder, draft)
    example = json.loads((draft / "example.json").read_text())
    example[0]["area_m2"] = 20.0 + number
    (draft / "example.json").write_text(json.dumps(example))
    version = reseal(draft)
    shutil.rmtree(folder)
    draft.rename(folder)
    return version


@contextmanager
def server(settings: Settings) -> Iterator[str]:
    app = create_app(settings)
    one = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))
    thread = threading.Thread(target=one.run)
    thread.start()
    until(lambda: one.started)
    try:
        yield f"http://127.0.0.1:{one.servers[0].sockets[0].getsockname()[1]}"
    finally:
        one.should_exit = True
        thread.join(20)


def test_hot_swaps_under_load_fail_no_request(artifacts: Path) -> None:
    folder = artifacts / "house_prices" / "bundle"
    row = Bundle(folder).example[0]
    served = [Bundle(folder).manifest.version]
    seen: list[str] = []

    async def ask(address: str, stop: threading.Event) -> None:
        async with httpx.AsyncClient(base_url=address, timeout=20) as client:
            while not stop.is_set():
                answer = await client.post("/models/house_prices/predict", json={"inputs": [row]})
                assert answer.status_code == 200, answer.text
                assert answer.headers["x-model-version"] == answer.json()["model"]["version"]
                seen.append(answer.headers["x-model-version"])

    with server(Settings(bundles=str(artifacts), poll_seconds=0.02)) as address:
        stop = threading.Event()

        async def load() -> None:
            await asyncio.gather(*(ask(address, stop) for _ in range(8)))

        failed: list[BaseException] = []

        def work() -> None:
            try:
                asyncio.run(load())
            except BaseException as error:
                failed.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        for number in range(5):
            until(lambda: failed or (seen and seen[-1] == served[-1]))
            served.append(newer(folder, number))
        until(lambda: failed or seen[-1] == served[-1])
        stop.set()
        thread.join(20)
        assert not failed
        assert list(dict.fromkeys(seen)) == served
        assert httpx.get(f"{address}/models/house_prices").json()["version"] == served[-1]


@pytest.mark.parametrize("fault", ["hash", "example", "schema", "no manifest"])
def test_a_corrupt_new_version_is_refused_and_the_old_one_serves(artifacts: Path, fault: str) -> None:
    folder = artifacts / "titanic" / "bundle"
    app = create_app(Settings(bundles=str(artifacts)))
    client = TestClient(app)
    before = client.get("/models/titanic").json()
    example = Bundle(folder).example
    if fault == "hash":
        (folder / "model.onnx").write_bytes(b"half a fi")
        words = "model.onnx: content differs from the manifest"
    elif fault == "example":
        (folder / "example.json").write_text('[{"class": 7}]')
        reseal(folder)
        words = "class"
    elif fault == "schema":
        schema = json.loads((folder / "schema.json").read_text())
        schema.pop("classes")
        (folder / "schema.json").write_text(json.dumps(schema))
        reseal(folder)
        words = "classes"
    else:
        (folder / "bundle.json").unlink()
        words = "its bundle was removed"
    app.state.store.refresh()
    card = client.get("/models/titanic").json()
    assert card["status"] == "ready" and words in card["reason"]
    assert {**card, "reason": None} == before
    answer = client.post("/models/titanic/predict", json={"inputs": example})
    assert answer.status_code == 200 and answer.headers["x-model-version"] == before["version"]


def test_repaired_and_new_bundles_are_served(artifacts: Path) -> None:
    graph = artifacts / "titanic" / "bundle" / "model.onnx"
    whole = graph.read_bytes()
    graph.write_bytes(whole[:-1])
    shutil.move(artifacts / "mnist", artifacts.parent / "mnist")
    app = create_app(Settings(bundles=str(artifacts)))
    client = TestClient(app)
    assert [card["status"] for card in client.get("/models").json()["models"]] == ["ready", "refused"]
    graph.write_bytes(whole)
    shutil.move(artifacts.parent / "mnist", artifacts / "mnist")
    app.state.store.refresh()
    assert {card["name"]: card["status"] for card in client.get("/models").json()["models"]} == {
        "house_prices": "ready",
        "mnist": "ready",
        "titanic": "ready",
    }
    assert "/models/mnist/predict" in client.get("/openapi.json").json()["paths"]


def test_lazy_models_are_loaded_on_first_request(artifacts: Path) -> None:
    client = TestClient(create_app(Settings(bundles=str(artifacts), load="lazy")))
    assert {card["status"] for card in client.get("/models").json()["models"]} == {"idle"}
    assert client.get("/ready").status_code == 200
    assert client.post("/models/titanic/predict", json={"inputs": [{}]}).status_code == 200
    status = {card["name"]: card["status"] for card in client.get("/models").json()["models"]}
    assert status == {"house_prices": "idle", "mnist": "idle", "titanic": "ready"}


def test_the_least_recently_used_model_is_evicted_and_reloaded(artifacts: Path) -> None:
    app = create_app(Settings(bundles=str(artifacts), load="lazy", memory_mb=100))
    client, store = TestClient(app), app.state.store

    def request(name: str) -> set[str]:
        example = Bundle(artifacts / name / "bundle").example
        assert client.post(f"/models/{name}/predict", json={"inputs": example}).status_code == 200
        for slot in store.slots.values():
            slot.memory = 45 * 2**20  # its actual memory is too small to measure
        return {model.name for model in store.ready()}

    assert request("titanic") == {"titanic"}
    assert request("mnist") == {"titanic", "mnist"}
    assert request("titanic") == {"titanic", "mnist"}
    assert request("house_prices") >= {"house_prices", "titanic"}
    assert request("mnist") >= {"mnist", "house_prices"}
    store._evict(store.slots["mnist"])
    assert {model.name for model in store.ready()} == {"mnist", "house_prices"}
    assert {card.name: card.status for card in store.infos()}["titanic"] == "idle"
    assert request("titanic") >= {"titanic", "mnist"}


def test_an_unloaded_model_frees_its_memory(artifacts: Path) -> None:
    import gc
    import weakref

    app = create_app(Settings(bundles=str(artifacts)))
    store = app.state.store
    model = weakref.ref(store.slots["mnist"].model)
    newest = newer_mnist(artifacts / "mnist" / "bundle")
    store.refresh()
    gc.collect()
    assert model() is None and store.slots["mnist"].model.version == newest


def newer_mnist(folder: Path) -> str:
    example = json.loads((folder / "example.json").read_text())
    (folder / "example.json").write_text(json.dumps(example[::-1]))
    return reseal(folder)


class Flaky:
    """A source that can be unavailable, and whose downloads can fail."""

    def __init__(self, source: BundleSource) -> None:
        self.source, self.away, self.broken = source, False, False

    def find(self) -> dict[str, DiscoveredBundle | SourceError]:
        found = self.source.find()
        if self.away:
            return dict.fromkeys(found, SourceError("the bucket does not answer"))
        return {name: one._replace(fetch=self.fail) if self.broken else one for name, one in found.items()}  # type: ignore[union-attr]

    def fail(self) -> Path:
        raise SourceError("the download broke off")


@pytest.mark.parametrize("load", ["eager", "lazy"])
def test_a_source_outage_unloads_nothing(artifacts: Path, load: Any) -> None:
    store = create_app(Settings(bundles=str(artifacts), load=load)).state.store
    source = store.source = Flaky(store.source)
    before = store.infos()
    source.away = True
    store.refresh()
    assert {(card.status, card.reason) for card in store.infos()} == {(before[0].status, "the bucket does not answer")}
    assert asyncio.run(store.model("titanic")).name == "titanic"
    source.away = False
    store.refresh()
    assert {card.reason for card in store.infos()} == {None}


def test_a_failed_download_is_retried_at_the_next_poll(artifacts: Path) -> None:
    store = create_app(Settings(bundles=str(artifacts))).state.store
    source = store.source = Flaky(store.source)
    version = newer(artifacts / "house_prices" / "bundle", 1)
    source.broken = True
    store.refresh()
    card = store.slot("house_prices").current_info
    assert (card.status, card.reason) == ("ready", "the download broke off") and card.version != version
    source.broken = False
    store.refresh()
    card = store.slot("house_prices").current_info
    assert (card.status, card.reason, card.version) == ("ready", None, version)


@pytest.mark.parametrize("strict", [False, True])
def test_changed_predictor_code_is_reported_and_rejected_by_strict_code(artifacts: Path, strict: bool) -> None:
    reseal(artifacts / "titanic" / "bundle", code_sha256="f" * 64)
    reseal(artifacts / "mnist" / "bundle", code_sha256=None)  # like bundles from before this field
    with TestClient(create_app(Settings(bundles=str(artifacts), strict_code=strict))) as client:
        infos = {card["name"]: card for card in client.get("/models").json()["models"]}
        rows = {row["project"]: row for row in client.get("/status?format=json").json()["projects"]}
        page = client.get("/status", headers={"Accept": "text/html"}).text
        answered = client.post("/models/titanic/predict", json={"inputs": [client_example(artifacts, "titanic")]})
    assert {name: card["code"] for name, card in infos.items()} == {
        "house_prices": "same", "mnist": "unknown", "titanic": "changed"
    }  # fmt: skip
    assert {name: row["code"] for name, row in rows.items()} == {name: card["code"] for name, card in infos.items()}
    assert "evaluated with different predictor code" in page
    assert answered.status_code == (503 if strict else 200)
    assert infos["titanic"]["status"] == ("refused" if strict else "ready")
    if strict:
        assert "code_sha256: found ffffffffffff; expected" in infos["titanic"]["reason"]


def client_example(artifacts: Path, project: str) -> dict[str, Any]:
    return json.loads((artifacts / project / "bundle" / "example.json").read_text())[0]
