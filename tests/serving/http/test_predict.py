"""The HTTP API: its responses, and problem details for every error."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from roadmap.bundle import Bundle, Manifest, load_predictor
from serving.errors import MAX_ERRORS
from serving.http.app import create_app
from serving.runtime.store import ModelInfo
from serving.settings import Settings
from tests.support import bundles

PROJECTS = sorted(bundles.MAKERS)
MAX_BODY = Settings().max_body_mb * 2**20


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundles.make_all(tmp_path_factory.mktemp("artifacts"))


@pytest.fixture(scope="module")
def client(artifacts: Path) -> Iterator[TestClient]:
    with TestClient(create_app(Settings(bundles=str(artifacts))), raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def own(artifacts: Path, tmp_path: Path) -> Path:
    """A copy that a test may break."""
    return Path(shutil.copytree(artifacts, tmp_path / "artifacts"))


def problem(response: Any, status: int) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["x-request-id"]
    content = response.json()
    assert content["status"] == status
    assert content["type"] == "about:blank"
    assert content["title"] and content["detail"]
    assert content["instance"] == response.url.raw_path.decode().partition("?")[0]
    assert "Traceback" not in response.text
    return content


def post(client: TestClient, body: str | bytes, project: str = "titanic", **headers: str) -> Any:
    headers = {"content-type": "application/json"} | headers
    return client.post(f"/models/{project}/predict", content=body, headers=headers)


# ---------------------------------------------------------------- answers


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


# ---------------------------------------------------------------- refusals

NESTED = "[" * 100_000
FAULTS = {
    "{": (400, "not JSON"),
    "": (422, "the body: is missing"),
    "[]": (422, "the body: should be a JSON object"),
    '{"inputs": []}': (422, "inputs: List should have at least 1 item"),
    '{"inputs": [{}], "input": 1}': (422, "input: is not a known field"),
    '{"inputs": [{"class": 1}]}': (422, "inputs/0/class: should be a valid string"),
    '{"inputs": [{"klass": "1st"}]}': (422, "inputs/0/klass: is not a known field"),
    '{"inputs": [{"class": NaN}]}': (422, "inputs/0/class"),
    '{"inputs": [NaN]}': (422, "inputs/0: should be a JSON object"),
    '{"inputs": [{"class": "\\ud800"}]}': (400, "not JSON"),
    '{"inputs": [{"\\ud800": 1}]}': (400, "not JSON"),
    NESTED: (400, "recursion limit"),
    "9" * 4000: (422, "the body: should be a JSON object"),
    "9" * 5000: (400, "number out of range"),
    '{"inputs": [' + "[" * 100 + "]" * 100 + "]}": (422, "inputs/0: should be a JSON object"),
}


@pytest.mark.parametrize("body", FAULTS, ids=lambda body: body[:30] or "empty")
def test_an_invalid_body_is_a_problem(client: TestClient, body: str) -> None:
    status, words = FAULTS[body]
    assert words in problem(post(client, body), status)["detail"]


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e999", "9" * 4000, '"x"', "[]", "{}", "1e308"])
def test_nan_and_infinity_are_rejected(client: TestClient, value: str) -> None:
    found = problem(post(client, f'{{"inputs": [{{}}, {{"area_m2": {value}}}]}}', "house_prices"), 422)
    assert found["errors"][0]["pointer"].startswith("#/inputs/1")


def test_errors_have_pointers_and_do_not_echo_the_input(client: TestClient) -> None:
    found = problem(client.post("/models/titanic/predict", json={"inputs": [{"class": 7, "a/b ~é": "secret"}]}), 422)
    assert [error["pointer"] for error in found["errors"]] == ["#/inputs/0/class", "#/inputs/0/a~1b%20~0%C3%A9"]
    assert found["detail"].endswith("(and 1 more)")
    assert "secret" not in json.dumps(found)


def test_the_list_of_errors_is_bounded(client: TestClient) -> None:
    body = {"inputs": [{"image": [["x"] * 8] * 8}] * 1000}
    assert len(problem(client.post("/models/mnist/predict", json=body), 422)["errors"]) <= MAX_ERRORS
    long = "k" * 10_000
    assert len(problem(client.post("/models/titanic/predict", json={"inputs": [{long: 1}]}), 422)["detail"]) < 500


def test_invalid_utf8_is_400(client: TestClient) -> None:
    problem(post(client, b'{"inputs": [{"class": "\xff"}]}'), 400)


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", "nonsense"])
def test_another_content_type_is_415(client: TestClient, kind: str) -> None:
    assert kind in problem(post(client, '{"inputs": [{}]}', **{"content-type": kind}), 415)["detail"]


@pytest.mark.parametrize("kind", ["application/json; charset=utf-8", "APPLICATION/JSON", "application/ld+json"])
def test_content_types_are_case_insensitive(client: TestClient, kind: str) -> None:
    assert post(client, '{"inputs": [{}]}', **{"content-type": kind}).status_code == 200


def test_a_body_that_is_too_large_is_413(client: TestClient) -> None:
    large = b" " * (MAX_BODY + 1)
    assert "8 MiB" in problem(post(client, large), 413)["detail"]
    chunks = (large[start : start + 2**20] for start in range(0, len(large), 2**20))  # no Content-Length
    streamed = client.post("/models/titanic/predict", content=chunks, headers={"content-type": "application/json"})
    problem(streamed, 413)
    problem(client.post("/nowhere", content=large), 413)
    assert post(client, b'{"inputs": [{}]}'.ljust(MAX_BODY)).status_code == 200


def test_unknown_methods_and_paths(client: TestClient) -> None:
    assert "POST" in problem(client.get("/models/titanic/predict"), 405)["detail"]
    assert client.delete("/models").headers["allow"] == "GET"
    problem(client.get("/nowhere/é"), 404)
    problem(client.get("/models/titanic/nowhere"), 404)


@pytest.mark.parametrize("ask", ["get", "post"])
def test_an_unknown_model_is_404_with_the_nearest_name(client: TestClient, ask: str) -> None:
    found = problem(client.get("/models/titanc") if ask == "get" else post(client, '{"inputs": [{}]}', "titanc"), 404)
    assert "did you mean 'titanic'?" in found["detail"]
    assert found["models"] == PROJECTS
    assert "did you mean" not in problem(client.get("/models/zzz"), 404)["detail"]


def test_request_ids(client: TestClient) -> None:
    assert client.get("/health", headers={"x-request-id": "mine 1"}).headers["x-request-id"] == "mine 1"
    made = client.get("/health").headers["x-request-id"]
    assert len(made) == 32 and made != client.get("/health").headers["x-request-id"]
    for given_id in (b"x" * 129, b"caf\xc3\xa9", b"tab\tbed"):
        assert len(client.get("/health", headers={b"x-request-id": given_id}).headers["x-request-id"]) == 32


def test_a_failing_predictor_is_a_500_with_an_id_in_the_log(own: Path, caplog: pytest.LogCaptureFixture) -> None:
    app = create_app(Settings(bundles=str(own)))

    def fails(inputs: Any) -> list[Any]:
        raise ZeroDivisionError("a secret of the house")

    app.state.store.slots["titanic"].model.predictor.predict = fails
    client = TestClient(app)  # raises exceptions that the server doesn't handle: none
    response = post(client, '{"inputs": [{}]}', **{"x-request-id": "find-me"})
    found = problem(response, 500)
    assert found["request_id"] == response.headers["x-request-id"] == "find-me"
    assert "secret" not in response.text and "ZeroDivisionError" not in response.text
    assert "find-me" in caplog.text and "a secret of the house" in caplog.text
    assert post(client, '{"inputs": [{}]}', "house_prices").status_code == 200


# ---------------------------------------------------------------- bundles that must not be served


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("file", ["model.onnx", "schema.json", "example.json"])
def test_a_corrupt_bundle_is_refused_by_name_while_others_serve(own: Path, file: str) -> None:
    flip(own / "titanic" / "bundle" / file)
    client = TestClient(create_app(Settings(bundles=str(own))))
    cards = {card["name"]: card for card in client.get("/models").json()["models"]}
    assert cards["titanic"]["status"] == "refused" and f"titanic/bundle/{file}" in cards["titanic"]["reason"]
    assert cards["mnist"]["status"] == "ready"
    assert cards["titanic"]["reason"] in problem(post(client, '{"inputs": [{}]}'), 503)["detail"]
    assert post(client, '{"inputs": [{}]}', "house_prices").status_code == 200
    assert client.get("/ready").json()["refused"] == ["titanic"]
    assert "/models/titanic/predict" not in client.get("/openapi.json").json()["paths"]


def test_a_bundle_whose_example_fails_is_refused(own: Path) -> None:
    """Valid hashes but invalid content: an unreadable ONNX graph, an example of another schema, another project."""
    from roadmap.bundle import write_manifest

    def reseal(folder: Path) -> None:
        lineage = json.loads((folder / "bundle.json").read_text())
        del lineage["files"]
        write_manifest(folder, **lineage)

    (own / "titanic" / "bundle" / "model.onnx").write_bytes(b"no graph")
    (own / "mnist" / "bundle" / "example.json").write_text('[{"image": [[1]]}]')
    reseal(own / "titanic" / "bundle")
    reseal(own / "mnist" / "bundle")
    shutil.copytree(own / "house_prices", own / "imdb")
    client = TestClient(create_app(Settings(bundles=str(own))))
    cards = {card["name"]: card for card in client.get("/models").json()["models"]}
    assert {name: card["status"] for name, card in cards.items()} == {
        "titanic": "refused",
        "mnist": "refused",
        "imdb": "refused",
        "house_prices": "ready",
    }
    assert cards["titanic"]["version"]  # sound, so its lineage is known
    assert "found a bundle of house_prices" in cards["imdb"]["reason"]
    problem(client.post("/models/mnist/predict", json={"inputs": [{}]}), 503)


def test_a_server_without_bundles(tmp_path: Path) -> None:
    client = TestClient(create_app(Settings(bundles=str(tmp_path / "nowhere"))))
    assert client.get("/health").status_code == 200
    assert client.get("/models").json() == {"models": []}
    assert client.get("/").status_code == 200
    assert "make run" in problem(client.get("/ready"), 503)["detail"]
    assert "There is none" in problem(post(client, '{"inputs": [{}]}'), 404)["detail"]


def test_ready_lists_what_is_missing(own: Path) -> None:
    for project in PROJECTS:
        flip(own / project / "bundle" / "model.onnx")
    found = problem(TestClient(create_app(Settings(bundles=str(own)))).get("/ready"), 503)
    assert all(f"{project}/bundle/model.onnx" in found["detail"] for project in PROJECTS)


# ---------------------------------------------------------------- anything at all

NUMBERS = st.one_of(st.floats(), st.integers(), st.sampled_from([10**400, -(10**4000), 1e308, 2**63]))
LEAVES = st.one_of(st.none(), st.booleans(), NUMBERS, st.text(max_size=20), st.sampled_from(["\ud800", "\x00", "1st"]))
FIELDS = st.one_of(
    st.sampled_from(["inputs", "class", "sex", "age", "image", "area_m2", "rooms", "district"]),
    st.text(max_size=5),
    st.just("\udfff"),
)
JSON = st.recursive(
    LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(FIELDS, inner, max_size=4)),
    max_leaves=12,
)
# Half of the bodies have a valid outer shape, so that inner validation is reached.
BODIES = st.one_of(JSON, st.lists(st.dictionaries(FIELDS, JSON, max_size=4), max_size=3).map(lambda x: {"inputs": x}))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=BODIES, project=st.sampled_from(PROJECTS))
def test_no_json_makes_the_server_fail(client: TestClient, body: Any, project: str) -> None:
    response = post(client, json.dumps(body), project)
    if response.status_code == 200:
        json.loads(response.text, parse_constant=pytest.fail)  # no NaN
    else:
        assert 400 <= response.status_code < 500
        problem(response, response.status_code)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.binary(max_size=60))
def test_no_bytes_make_the_server_fail(client: TestClient, body: bytes) -> None:
    problem(post(client, body), post(client, body).status_code)
