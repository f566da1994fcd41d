"""Unseen values are treated as an average row and noted; with strict they are rejected."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from roadmap.inference.tabular import request_model
from roadmap.inference.tabular.features import Features
from roadmap.inference.tabular.notes import notes_of
from serving.http.app import create_app
from serving.settings import Settings
from tests.support import bundles

KNOWN = {"class": "1st", "sex": "female", "age": "adult"}
UNSEEN = {**KNOWN, "sex": "Female"}
SAID = "'Female' was not seen in training: counts as an average row's; did you mean 'female'?"


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundles.make_all(tmp_path_factory.mktemp("artifacts"), {"titanic": bundles.titanic})


@pytest.fixture(scope="module")
def client(artifacts: Path) -> Iterator[TestClient]:
    with TestClient(create_app(Settings(bundles=str(artifacts)))) as client:
        yield client


def predict(client: TestClient, *inputs: dict[str, Any], query: str = "") -> Any:
    return client.post(f"/models/titanic/predict{query}", json={"inputs": inputs})


def test_an_unseen_level_is_named_with_the_nearest_known_one(client: TestClient) -> None:
    answer = predict(client, KNOWN, UNSEEN)
    assert answer.json()["notes"] == [{"pointer": "#/inputs/1/sex", "detail": SAID}]
    assert json.loads(answer.headers["x-notes"]) == answer.json()["notes"]
    woman, unseen, man = (predict(client, {**KNOWN, "sex": sex}).json() for sex in ("female", "Female", "male"))
    chances = [one["outputs"][0]["probability"] for one in (woman, unseen, man)]
    assert chances[0] > chances[1] > chances[2], "neither the prediction for women nor for men"


def test_known_values_need_no_note(client: TestClient) -> None:
    for inputs in (KNOWN, {**KNOWN, "sex": " female "}):
        answer = predict(client, inputs)
        assert "notes" not in answer.json() and "x-notes" not in answer.headers
    assert predict(client, {**KNOWN, "sex": " female "}).json()["outputs"] == predict(client, KNOWN).json()["outputs"]


def test_an_absent_field_is_noted(client: TestClient) -> None:
    notes = predict(client, {"class": "1st", "age": None}).json()["notes"]
    assert {one["pointer"]: one["detail"] for one in notes} == {
        "#/inputs/0/sex": "is not given, where training had no gap: counts as an average row's",
        "#/inputs/0/age": "is null, where training had no gap: counts as an average row's",
    }
    fields = client.get("/openapi.json").json()["components"]["schemas"]["titanic_request"]["properties"]
    assert "absent or null: an average row of training" in fields["sex"]["description"]


def test_an_absent_field_is_noted_even_if_training_had_gaps() -> None:
    schema = {"columns": {"age": {"kind": "number", "min": 1, "max": 9}}}
    features = Features.fit({"age": np.array([1.0, np.nan])})
    request = request_model("people", schema, {}, features)
    message = request.model_json_schema()["properties"]["age"]["description"]
    assert message == "seen in training: 1 to 9; absent or null: a gap, as rows of training had too"
    known = features.known({})
    assert notes_of(request.model_validate({"age": None}), known) == []
    [note] = notes_of(request.model_validate({}), known)
    assert note == ("age", "absent", "is not given: counts as a gap, as rows of training had too")


def test_strict_rejects_unseen_levels(client: TestClient, artifacts: Path) -> None:
    answer = predict(client, KNOWN, UNSEEN, query="?strict=true")
    assert answer.status_code == 422 and answer.json()["detail"] == f"inputs/1/sex: {SAID}"
    assert answer.json()["errors"] == [{"pointer": "#/inputs/1/sex", "detail": SAID}]
    assert predict(client, KNOWN, query="?strict=true").status_code == 200
    assert predict(client, KNOWN, query="?strict=perhaps").status_code == 422
    with TestClient(create_app(Settings(bundles=str(artifacts), strict=True))) as strict:
        assert predict(strict, UNSEEN).status_code == 422
        assert predict(strict, UNSEEN, query="?strict=false").status_code == 200
        assert strict.post("/invocations", content="1st,Female,adult\n", headers=CSV).status_code == 422


CSV = {"content-type": "text/csv"}


def test_text_formats_note_in_the_header_by_input_number(client: TestClient) -> None:
    body = "class,sex,age\n" + "1st,female,adult\n" * 300 + "1st,Female,adult\n"
    answer = client.post("/invocations", content=body, headers=CSV)
    assert len(answer.text.splitlines()) == 301
    assert json.loads(answer.headers["x-notes"]) == [{"pointer": "#/inputs/300/sex", "detail": SAID}]
    tensors = [{"name": name, "shape": [1], "datatype": "BYTES", "data": [value]} for name, value in UNSEEN.items()]
    answer = client.post("/v2/models/titanic/infer", json={"inputs": tensors})
    assert json.loads(answer.headers["x-notes"])[0]["detail"] == SAID


def test_notes_are_counted(client: TestClient) -> None:
    predict(client, UNSEEN, UNSEEN)
    lines = client.get("/metrics").text.splitlines()
    mine = ("serving_notes_total{", 'kind="unseen"', 'project="titanic"')
    [found] = [one for one in lines if all(part in one for part in mine)]
    assert float(found.rpartition(" ")[2]) >= 2


def test_the_notes_header_is_bounded(client: TestClient) -> None:
    answer = predict(client, *[{**KNOWN, "sex": "日本" * 50}] * 200)
    assert answer.status_code == 200 and len(answer.headers["x-notes"]) <= 1500
    assert len(answer.json()["notes"]) == 100
