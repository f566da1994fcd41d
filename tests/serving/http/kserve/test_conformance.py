"""What the Open Inference Protocol says of each address, its answers and its errors, as JSON schemas.

After specification/protocol/inference_rest.md and open_inference_rest.yaml of the protocol's repository.
"""

from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from jsonschema import Draft202012Validator

from roadmap.bundle import Bundle
from serving.http.kserve.tensors import columns
from tests.support import bundles

TEXT, FLAG = {"type": "string"}, {"type": "boolean"}
NAMES = {
    "BOOL",
    "BYTES",
    "FP16",
    "FP32",
    "FP64",
    *(f"{kind}{bits}" for kind in ("INT", "UINT") for bits in (8, 16, 32, 64)),
}
DATATYPE = {"enum": sorted(NAMES)}


def a(required: str, optional: str = "", **properties: Any) -> dict[str, Any]:
    """An object of these members alone: those not given are texts."""
    names = [*required.split(), *optional.split()]
    return {
        "type": "object",
        "properties": {name: properties.get(name, TEXT) for name in names},
        "required": required.split(),
        "additionalProperties": False,
    }


def many(items: Any) -> dict[str, Any]:
    return {"type": "array", "items": items}


VALUES = many({"type": ["number", "string", "boolean"]})
METADATA = many(a("name datatype shape", datatype=DATATYPE, shape=many({"type": "integer", "minimum": -1})))
OUTPUTS = many(
    a("name shape datatype data", shape=many({"type": "integer", "minimum": 0}), datatype=DATATYPE, data=VALUES)
)
SCHEMAS = {
    "live": a("live", live=FLAG),
    "ready": a("ready", ready=FLAG),
    "server": a("name version extensions", extensions=many(TEXT)),
    "model ready": a("name ready", ready=FLAG),
    "model": a("name platform inputs outputs", "versions", versions=many(TEXT), inputs=METADATA, outputs=METADATA),
    "infer": a("model_name outputs", "model_version id", outputs=OUTPUTS),
    "error": {"type": "object", "properties": {"error": TEXT}, "required": ["error"]},
}


def conforms(answer: Any, name: str, status: int = 200) -> Any:
    assert answer.status_code == status, answer.text
    Draft202012Validator(SCHEMAS[name]).validate(answer.json())
    return answer.json()


def test_the_server_says_what_the_protocol_asks(client: TestClient) -> None:
    assert conforms(client.get("/v2/health/live"), "live")["live"]
    assert conforms(client.get("/v2/health/ready"), "ready")["ready"]
    assert conforms(client.get("/v2"), "server") == conforms(client.get("/v2/", follow_redirects=False), "server")


EXTRAS: list[dict[str, Any]] = [{}, {"id": "42"}, {"id": ""}, {"id": None, "parameters": {}}, {"parameters": None}]


@pytest.mark.parametrize("project", sorted(bundles.ALL))
def test_every_model_says_and_answers_what_the_protocol_asks(client: TestClient, artifacts: Path, project: str) -> None:
    bundle = Bundle(artifacts / project / "bundle")
    tensors = columns(bundle.example, [])
    for path in (f"/v2/models/{project}", f"/v2/models/{project}/versions/{bundle.manifest.version}"):
        assert conforms(client.get(f"{path}/ready"), "model ready")["ready"]
        metadata = conforms(client.get(path), "model")
        assert bundle.manifest.version in metadata["versions"]
        for extra in EXTRAS:
            body = {"inputs": [{**one, "parameters": {}} for one in tensors], "outputs": None, **extra}
            answer = conforms(client.post(f"{path}/infer", json=body), "infer")
            assert answer.get("id") == extra.get("id") and ("id" in answer) == isinstance(extra.get("id"), str)
        assert [one["name"] for one in metadata["outputs"]] == [one["name"] for one in answer["outputs"]]
        wanted = [{"name": one["name"]} for one in reversed(metadata["outputs"])]
        answer = conforms(client.post(f"{path}/infer", json={"inputs": tensors, "outputs": wanted}), "infer")
        assert [one["name"] for one in answer["outputs"]] == [one["name"] for one in wanted]


SEX: dict[str, Any] = {"name": "sex", "shape": [1], "datatype": "BYTES", "data": ["male"]}


@pytest.mark.parametrize(
    ("body", "status", "pointer"),
    [
        ({}, 422, "#/inputs"),
        ({"inputs": None}, 422, "#/inputs"),
        ({"inputs": [{**SEX, "shape": None}]}, 422, "#/inputs/0/shape"),
        ({"inputs": [{**SEX, "shape": []}]}, 422, "#/inputs/0/shape"),
        ({"inputs": [{**SEX, "shape": [2]}]}, 422, "#/inputs/0/data"),
        ({"inputs": [{**SEX, "datatype": "BF16"}]}, 422, "#/inputs/0/datatype"),
        ({"inputs": [{**SEX, "data": "male"}]}, 422, "#/inputs/0/data"),
        ({"inputs": [{name: SEX[name] for name in ("name", "shape", "datatype")}]}, 422, "#/inputs/0/data"),
        ({"inputs": [SEX, SEX]}, 422, "#/inputs/1/name"),
        ({"inputs": [SEX], "id": 42}, 422, "#/id"),
        ({"inputs": [SEX], "outputs": [{"name": "none"}]}, 422, "#/outputs/0/name"),
        (
            {"inputs": [SEX], "outputs": [{"name": "label", "parameters": {"classification": 2}}]},
            422,
            "#/outputs/0/parameters",
        ),
        ({"inputs": [SEX], "parameters": 5}, 422, "#/parameters"),
    ],
)
def test_an_error_is_the_protocols_and_points_into_the_body(
    client: TestClient, body: Any, status: int, pointer: str
) -> None:
    answer = conforms(client.post("/v2/models/titanic/infer", json=body), "error", status)
    assert [one["pointer"] for one in answer["errors"]] == [pointer]


def test_errors_without_a_body_are_the_protocols_too(client: TestClient) -> None:
    for path in ("/v2/models/none", "/v2/models/titanic/versions/0/ready", "/v2/nowhere"):
        conforms(client.get(path), "error", 404)
    conforms(client.get("/v2/models/titanic/infer"), "error", 405)
    conforms(client.post("/v2/models/titanic/infer", content=b"{"), "error", 400)
    conforms(client.post("/v2/models/titanic/infer", content=b"{}", headers={"content-type": "text/csv"}), "error", 415)


def test_a_column_may_have_a_second_dimension_of_one(client: TestClient) -> None:
    """As MLServer's codec of a pandas frame writes it."""
    plain = client.post(
        "/v2/models/titanic/infer", json={"inputs": [{**SEX, "shape": [2], "data": ["male", "female"]}]}
    )
    for data in (["male", "female"], [["male"], ["female"]]):
        answer = client.post("/v2/models/titanic/infer", json={"inputs": [{**SEX, "shape": [2, 1], "data": data}]})
        assert answer.status_code == 200 and answer.json()["outputs"] == plain.json()["outputs"]
