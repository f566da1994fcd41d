"""Predictions over HTTP equal the predictor's, and each page about the models answers."""

import json
import re
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from roadmap.bundle import Bundle, Manifest, load_predictor
from serving.http.app import create_app
from serving.runtime.store import ModelInfo
from serving.settings import Settings
from tests.support import bundles
from tests.support.problems import problem

PROJECTS = sorted(bundles.MAKERS)


@pytest.mark.parametrize("project", PROJECTS)
def test_http_gives_the_predictors_outputs(client: TestClient, artifacts: Path, project: str) -> None:
    bundle = Bundle(artifacts / project / "bundle")
    predictor = load_predictor(bundle)
    expected = predictor.predict([predictor.Request.model_validate(one) for one in bundle.example])
    response = client.post(f"/models/{project}/predict", json={"inputs": bundle.example})
    assert response.status_code == 200
    assert response.json()["outputs"] == [one.model_dump(mode="json") for one in expected]
    names = ("profile", "source", "created")
    lineage = {name: getattr(bundle.manifest, name) for name in names}
    assert response.json()["model"] == {"name": project, "version": bundle.manifest.version, **lineage}


@pytest.mark.parametrize("project", PROJECTS)
def test_the_documented_example_works(client: TestClient, project: str) -> None:
    operation = client.get("/openapi.json").json()["paths"][f"/models/{project}/predict"]["post"]
    example = operation["requestBody"]["content"]["application/json"]["examples"]["example"]["value"]
    response = client.post(f"/models/{project}/predict", json=example)
    assert response.status_code == 200
    assert response.json() == operation["responses"]["200"]["content"]["application/json"]["example"]


def test_the_hand_made_models_are_accurate(client: TestClient) -> None:
    images = [{"image": image.tolist()} for image in bundles.glyphs()]
    outputs = client.post("/models/mnist/predict", json={"inputs": images}).json()["outputs"]
    assert [output["digit"] for output in outputs] == list(range(10))
    house = {"area_m2": 100, "rooms": 4, "age_years": 20, "distance_km": 5, "district": "hills"}
    price = client.post("/models/house_prices/predict", json={"inputs": [house]}).json()["outputs"][0]["prediction"]
    assert price == pytest.approx(150 + 90 + 420 + 72 - 30 - 45, abs=0.1)


def test_a_batch_has_at_most_1024_inputs(client: TestClient) -> None:
    response = client.post("/models/titanic/predict", json={"inputs": [{}] * 1024})
    assert len(response.json()["outputs"]) == 1024
    found = problem(client.post("/models/titanic/predict", json={"inputs": [{}] * 1025}), 422)
    assert found["errors"] == [{"pointer": "#/inputs", "detail": "List should have at most 1024 items, not 1025"}]


def test_status_pages(client: TestClient) -> None:
    assert client.get("/health").json() == {"status": "ok"}
    assert client.get("/ready").json() == {"status": "ready", "models": PROJECTS, "refused": []}
    cards = client.get("/models").json()["models"]
    assert [card["name"] for card in cards] == PROJECTS
    assert client.get("/models/mnist").json() == cards[PROJECTS.index("mnist")]


GETS = [
    "/health",
    "/ready",
    "/v2/health/live",
    "/v2/health/ready",
    "/v2",
    "/models",
    "/models/mnist",
    "/v2/models/mnist",
]
GETS += [
    "/v2/models/mnist/ready",
    "/metrics",
    "/status",
    "/v1/models",
    "/",
    "/docs",
    "/openapi.json",
    "/playground/app.js",
]


@pytest.mark.parametrize("path", GETS)
def test_head_is_get_without_a_body(client: TestClient, path: str) -> None:
    """Load balancers and uptime checks use HEAD."""
    got, headed = client.get(path), client.head(path)
    assert (headed.status_code, headed.content) == (got.status_code, b"") and got.content
    assert headed.headers["content-type"] == got.headers["content-type"]
    if path not in ("/metrics", "/status"):  # which change from one request to the next
        assert headed.headers["content-length"] == got.headers["content-length"]


def test_head_ping_reports_whether_the_model_is_loaded(artifacts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODEL_PROJECT", "titanic")
    with TestClient(create_app(Settings(bundles=str(artifacts)))) as client:
        assert client.head("/ping").status_code == 200
        monkeypatch.setenv("MODEL_PROJECT", "none")
    with TestClient(create_app(Settings(bundles=str(artifacts)))) as client:
        assert client.head("/ping").status_code == 404
        assert client.head("/models/titanic/predict").status_code == 405


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
def test_the_documentation_loads_nothing_from_other_hosts(client: TestClient, path: str) -> None:
    page = client.get(path).text
    addresses = re.findall(r"""(?:src|href|spec-url|url)(?:=|: )["']([^"']+)["']""", page)
    assert len(addresses) >= 3
    for address in addresses:
        assert "//" not in address and client.get(f"/{address}").status_code == 200, address


def test_model_info_has_the_manifest_without_its_files(client: TestClient, artifacts: Path) -> None:
    assert set(Manifest.model_fields) - {"files"} <= set(ModelInfo.model_fields)
    manifest = Bundle(artifacts / "titanic" / "bundle").manifest
    card = client.get("/models/titanic").json()
    assert manifest.model_dump(exclude={"files"}).items() <= card.items()
    assert (card["version"], card["status"], card["reason"]) == (manifest.version, "ready", None)
    files = (artifacts / "titanic" / "bundle").iterdir()
    assert card["size"] == sum(path.stat().st_size for path in files if path.name != "bundle.json")


def test_openapi_has_every_project_and_the_errors(client: TestClient) -> None:
    schema = client.get("/openapi.json").json()
    for project in PROJECTS:
        operation = schema["paths"][f"/models/{project}/predict"]["post"]
        assert {"200", "400", "413", "415", "422", "500", "default"} <= set(operation["responses"])
        assert operation["responses"]["422"]["content"].keys() == {"application/problem+json"}
        assert {f"{project}_request", f"{project}_response", f"{project}_batch"} <= set(schema["components"]["schemas"])
    dumped = json.dumps(schema)
    for name in {part.split('"')[0] for part in dumped.split('"#/components/schemas/')[1:]}:
        assert name in schema["components"]["schemas"]
    assert "HTTPValidationError" not in dumped


def test_request_ids(client: TestClient) -> None:
    assert client.get("/health", headers={"x-request-id": "mine 1"}).headers["x-request-id"] == "mine 1"
    made = client.get("/health").headers["x-request-id"]
    assert len(made) == 32 and made != client.get("/health").headers["x-request-id"]
    for given_id in (b"x" * 129, b"caf\xc3\xa9", b"tab\tbed"):
        assert len(client.get("/health", headers={b"x-request-id": given_id}).headers["x-request-id"]) == 32
