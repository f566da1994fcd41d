"""What cannot be answered is a problem: 4xx for what the caller did, and never a stack trace."""

import json
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serving.errors import MAX_ERRORS
from serving.http.app import create_app
from serving.settings import Settings
from tests.support import bundles
from tests.support.problems import post, problem

PROJECTS = sorted(bundles.MAKERS)
MAX_BODY = Settings().max_body_mb * 2**20
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
