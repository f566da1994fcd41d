"""Bundles from MLflow's registry, over the REST API of a real server and from the SQLite file under it.

One store has models of every kind of artifact location: titanic's are served by the server itself, house_prices' lie in
a folder, mnist's on S3.
"""

import base64
import http.server
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import boto3
import mlflow
import pytest

from roadmap.bundle import Bundle, BundleError, Manifest
from roadmap.promotion import registry
from serving.sources import DiscoveredBundle, SourceError, open_source
from tests.support import bundles
from tests.support.checkouts import ROOT, environment
from tests.support.sources import found

pytestmark = pytest.mark.slow

KEYS = {"AWS_ACCESS_KEY_ID": "dummy", "AWS_SECRET_ACCESS_KEY": "dummy", "AWS_DEFAULT_REGION": "us-east-1"}


class Store(NamedTuple):
    url: str
    sqlite: str
    client: Any
    bundles: dict[str, Manifest]  # by name/version


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, s3_server: str) -> Iterator[Store]:
    folder = tmp_path_factory.mktemp("mlflow")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url, sqlite = f"http://127.0.0.1:{port}", f"sqlite:///{folder}/mlflow.db"
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", sqlite, "--artifacts-destination", str(folder / "served")]
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(command, cwd=folder, env=environment(), stdout=log, stderr=log)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)  # the logged model includes the code
        for name, value in {**KEYS, "AWS_ENDPOINT_URL": s3_server, "MLFLOW_DISABLE_TELEMETRY": "true"}.items():
            patch.setenv(name, value)
        before = mlflow.get_tracking_uri()
        try:
            wait_for(f"{url}/health", folder / "log")
            mlflow.set_tracking_uri(url)
            yield fill(Store(url, sqlite, mlflow.MlflowClient(), {}), folder)
        finally:
            mlflow.set_tracking_uri(before)
            server.terminate()
            server.wait()


def wait_for(url: str, log: Path) -> None:
    for _ in range(240):
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.5)
    pytest.fail(f"MLflow did not start: {log.read_text()[-2000:]}")


def fill(store: Store, folder: Path) -> Store:
    boto3.client("s3").create_bucket(Bucket="mlflow-models")
    places = {"titanic": None, "house_prices": f"file://{folder}/files", "mnist": "s3://mlflow-models/runs"}
    for project, place in places.items():
        bundle = folder / project / "bundle"
        bundles.MAKERS[project](bundle)
        experiment = store.client.create_experiment(project, artifact_location=place)
        log(store, experiment, bundle)
        if project == "titanic":
            bundles.another(bundle)
            log(store, experiment, bundle.rename(folder / project / "champion"))  # as a restored one is called
        store.client.set_registered_model_alias(project, "champion", "1")
    foreign = store.client.create_run(store.client.create_experiment("foreign"))
    store.client.log_dict(foreign.info.run_id, {}, "model/artifacts/model.json")
    store.client.create_registered_model("foreign")
    store.client.create_model_version("foreign", f"{foreign.info.artifact_uri}/model", foreign.info.run_id)
    return store


def log(store: Store, experiment: str, folder: Path) -> None:
    version = registry.log_version(store.client, store.client.create_run(experiment).info.run_id, Bundle(folder))
    store.bundles[f"{version.name}/{version.version}"] = Bundle(folder).manifest


@pytest.fixture
def server(store: Store, s3: None, monkeypatch: pytest.MonkeyPatch) -> Store:
    """The store by its server."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store.url)
    return store


@pytest.fixture
def file(store: Store, s3: None, monkeypatch: pytest.MonkeyPatch) -> Store:
    """The store by its file."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store.sqlite)
    return store


@pytest.fixture(params=["server", "file"])
def either(request: pytest.FixtureRequest) -> Store:
    return request.getfixturevalue(request.param)


@pytest.mark.parametrize("model", ["titanic/1", "titanic/2", "house_prices/1", "mnist/1"])
def test_bundles_come_from_any_artifact_store(model: str, server: Store, cache: Path) -> None:
    folder = found(open_source(f"models:/{model}", cache), model.partition("/")[0]).fetch()
    assert Bundle(folder).manifest == server.bundles[model]


@pytest.mark.parametrize("model", ["house_prices/1", "mnist/1"])
def test_the_sqlite_file_is_read_without_a_server(model: str, file: Store, cache: Path) -> None:
    folder = found(open_source(f"models:/{model}", cache), model.partition("/")[0]).fetch()
    assert Bundle(folder).manifest == file.bundles[model]


def test_artifacts_that_need_a_server_are_reported(file: Store, cache: Path) -> None:
    with pytest.raises(SourceError, match=r"models:/titanic/1: .*a server in MLFLOW_TRACKING_URI"):
        found(open_source("models:/titanic/1", cache), "titanic").fetch()


def test_every_model_with_the_alias_is_found(either: Store, cache: Path) -> None:
    there = open_source("models:/@champion", cache).find()
    assert set(there) == {"titanic", "house_prices", "mnist"}
    assert open_source("models:/@nobody", cache).find() == {}


def test_moving_an_alias_changes_the_fingerprint(either: Store, cache: Path) -> None:
    source = open_source("models:/titanic@champion,models:/mnist@champion", cache)
    before = source.find()
    assert source.find().keys() == before.keys() == {"titanic", "mnist"}
    either.client.set_registered_model_alias("titanic", "champion", "2")
    try:
        after = source.find()
        titanic, now = before["titanic"], after["titanic"]
        mnist, still = before["mnist"], after["mnist"]
        assert (
            isinstance(titanic, DiscoveredBundle)
            and isinstance(now, DiscoveredBundle)
            and titanic.fingerprint != now.fingerprint
        )
        assert (
            isinstance(mnist, DiscoveredBundle)
            and isinstance(still, DiscoveredBundle)
            and mnist.fingerprint == still.fingerprint
        )
    finally:
        either.client.set_registered_model_alias("titanic", "champion", "1")


@pytest.mark.parametrize("wrong", ["titanic@nobody", "titanic/99", "nobody@champion", "nobody/1"])
def test_one_unknown_name_does_not_affect_the_others(wrong: str, either: Store, cache: Path) -> None:
    there = open_source(f"models:/{wrong},models:/mnist@champion", cache).find()
    name = wrong.replace("@", "/").partition("/")[0]
    assert isinstance(there["mnist"], DiscoveredBundle)
    assert isinstance(there[name], SourceError)
    assert wrong.replace("@", "/").rpartition("/")[2] in str(there[name])


def test_a_model_without_a_bundle_is_rejected(server: Store, cache: Path) -> None:
    with pytest.raises(BundleError, match=r"models:/foreign/1: found no artifacts/\*/bundle\.json"):
        found(open_source("models:/foreign/1", cache), "foreign").fetch()


def test_downloads_over_http_and_s3_are_cached(server: Store, cache: Path) -> None:
    folder = found(open_source("models:/titanic/1", cache), "titanic").fetch()
    written = (folder / "model.onnx").stat().st_mtime_ns
    assert found(open_source("models:/titanic@champion", cache), "titanic").fetch() == folder
    assert (folder / "model.onnx").stat().st_mtime_ns == written


def test_artifacts_on_another_machine_are_reported(server: Store, cache: Path) -> None:
    uri = server.client.get_model_version_download_uri("house_prices", "1")
    folder = Path(uri.removeprefix("file://"))
    folder.rename(f"{folder}.away")
    try:
        with pytest.raises(SourceError, match="does not exist on this machine"):
            found(open_source("models:/house_prices/1", cache), "house_prices").fetch()
    finally:
        Path(f"{folder}.away").rename(folder)


class Proxy(http.server.ThreadingHTTPServer):
    """A proxy that requires `authorization`, and changes the graphs that it forwards."""

    daemon_threads = True

    def __init__(self, url: str, authorization: str | None, change: Callable[[bytes], bytes] = bytes) -> None:
        super().__init__(("127.0.0.1", 0), Forward)
        self.behind, self.authorization, self.change = url, authorization, change

    def handle_error(self, *_: Any) -> None:
        """Ignores disconnected clients."""


class Forward(http.server.BaseHTTPRequestHandler):
    server: Proxy

    def do_GET(self) -> None:
        if self.server.authorization not in (None, self.headers.get("Authorization")):
            self.send_error(401)
            return
        with urllib.request.urlopen(self.server.behind + self.path) as answer:
            content = answer.read()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(self.server.change(content) if self.path.endswith(".onnx") else content)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def proxy(server: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Proxy]]:
    running = []

    def start(*options: Any) -> Proxy:
        running.append(Proxy(server.url, *options))
        threading.Thread(target=running[-1].serve_forever, args=(0.05,)).start()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{running[-1].server_port}")
        return running[-1]

    yield start
    for one in running:
        one.shutdown()
        one.server_close()


BASIC = f"Basic {base64.b64encode('anna:pass:wörd'.encode()).decode()}"


def test_basic_and_token_authentication(
    proxy: Callable[..., Proxy], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = proxy(BASIC).server_port
    there = open_source("models:/titanic@champion", cache).find()
    assert "MLFLOW_TRACKING_TOKEN" in str(there["titanic"])
    with pytest.raises(SourceError, match="not permitted"):
        open_source("models:/@champion", cache).find()

    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "anna")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "pass:wörd")
    Bundle(found(open_source("models:/titanic@champion", cache), "titanic").fetch())
    monkeypatch.delenv("MLFLOW_TRACKING_USERNAME")
    monkeypatch.delenv("MLFLOW_TRACKING_PASSWORD")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://anna:pass%3Aw%C3%B6rd@127.0.0.1:{port}/")
    Bundle(found(open_source("models:/titanic@champion", cache), "titanic").fetch())
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://anna:secret@127.0.0.1:{port}/")
    there = open_source("models:/titanic@champion", cache).find()
    assert isinstance(there["titanic"], SourceError) and "secret" not in str(there["titanic"])

    proxy("Bearer abc")
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "abc")
    Bundle(found(open_source("models:/titanic@champion", cache), "titanic").fetch())


def test_an_interrupted_download_can_be_retried(proxy: Callable[..., Proxy], cache: Path) -> None:
    cutting = proxy(None)
    one = found(open_source("models:/titanic/1", cache), "titanic")
    cutting.change = lambda content: content[:-1]
    with pytest.raises(SourceError):
        one.fetch()
    assert list(cache.glob("*/*")) == []
    cutting.change = bytes
    Bundle(one.fetch())
