"""The Open Inference Protocol: the same outputs as /predict, as tensors."""

from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from roadmap.bundle import Bundle
from serving.http.kserve.tensors import columns
from tests.support import bundles

PROJECTS = sorted(bundles.MAKERS)


def infer(client: TestClient, project: str, *tensors: dict[str, Any], **more: Any) -> Any:
    return client.post(f"/v2/models/{project}/infer", json={"inputs": list(tensors), **more})


@pytest.mark.parametrize("project", PROJECTS)
def test_tensors_match_predict(client: TestClient, artifacts: Path, project: str) -> None:
    example = Bundle(artifacts / project / "bundle").example
    plain = client.post(f"/models/{project}/predict", json={"inputs": example}).json()["outputs"]
    response = infer(client, project, *columns(example, []), id="42")
    assert response.status_code == 200, response.text
    answer = response.json()
    version = Bundle(artifacts / project / "bundle").manifest.version
    assert (answer["model_name"], answer["model_version"], answer["id"]) == (project, version, "42")
    assert answer["outputs"] == columns(plain, [])
    described = client.get(f"/v2/models/{project}").json()
    assert [one["name"] for one in described["inputs"]] == list(example[0])
    for metadata, given in zip(described["outputs"], answer["outputs"], strict=True):
        assert (metadata["name"], metadata["datatype"], metadata["shape"][1:]) == (
            given["name"],
            given["datatype"],
            given["shape"][1:],
        )


def test_omitted_members_stay_omitted(client: TestClient) -> None:
    """The protocol's `id` is a string or absent, never null."""
    [tensor] = columns([{"sex": "female"}], [])
    assert "id" not in infer(client, "titanic", tensor).json()
    assert "id" not in infer(client, "titanic", tensor, id=None).json()


@pytest.mark.parametrize(
    ("method", "path"),
    [("get", "/v2/models/none"), ("get", "/v2/models/titanic/versions/0"), ("post", "/v2/models/titanic/infer")],
)
def test_errors_have_the_protocols_member(client: TestClient, method: str, path: str) -> None:
    answer = client.request(method, path, json={"inputs": []} if method == "post" else None)
    assert answer.status_code >= 400 and answer.json()["error"] == answer.json()["detail"]


def test_errors_point_at_the_tensor_and_its_row(client: TestClient) -> None:
    tensors = columns([{"sex": "female", "class": "1st"}, {"sex": "male", "class": "1st"}], [])
    tensors[1] = {"name": "class", "shape": [2], "datatype": "INT64", "data": [1, 2]}
    assert infer(client, "titanic", *tensors).json()["errors"][0]["pointer"] == "#/inputs/1/data/0"
    text = {"name": "words", "shape": [1], "datatype": "BYTES", "data": ["a"]}
    assert infer(client, "titanic", tensors[0], {**text, "shape": [2], "data": ["a", "b"]}).json()["errors"][0] == {
        "pointer": "#/inputs/1/data/0",
        "detail": "is not a known field",
    }


def test_a_column_of_numbers_may_have_gaps(client: TestClient) -> None:
    houses: list[dict[str, Any]] = [{"area_m2": 80.5, "district": "null"}, {"area_m2": None, "district": "[1]"}]
    [area, district] = columns(houses, [])
    assert (area["datatype"], area["data"]) == ("BYTES", ["80.5", "null"])
    plain = client.post("/models/house_prices/predict", json={"inputs": [{"area_m2": 80.5}, {"district": "[1]"}]})
    answer = infer(client, "house_prices", area, district).json()
    assert answer["outputs"] == columns(plain.json()["outputs"], [])


def test_data_may_be_flat_or_nested(client: TestClient) -> None:
    image = bundles.glyphs()[7]
    shape = [1, 8, 8]
    flat = {"name": "image", "shape": shape, "datatype": "INT64", "data": image.ravel().tolist()}
    nested = {"name": "image", "shape": shape, "datatype": "UINT8", "data": [image.tolist()]}
    answers = [infer(client, "mnist", tensor).json()["outputs"] for tensor in (flat, nested)]
    assert answers[0] == answers[1]
    assert {one["name"]: one["data"] for one in answers[0]}["digit"] == [7]


def test_only_the_requested_outputs_are_returned(client: TestClient) -> None:
    sexes = {"name": "sex", "shape": [2], "datatype": "BYTES", "data": ["male", "female"]}
    [only] = infer(client, "titanic", sexes, outputs=[{"name": "label"}]).json()["outputs"]
    assert (only["name"], only["datatype"], only["shape"]) == ("label", "BYTES", [2])
    found = infer(client, "titanic", sexes, outputs=[{"name": "lable"}])
    assert found.status_code == 422 and "outputs: label, probability" in found.json()["detail"]


def test_a_missing_value_is_null(client: TestClient) -> None:
    gaps = {"name": "sex", "shape": [2], "datatype": "BYTES", "data": ["null", "female"]}
    plain = client.post("/models/titanic/predict", json={"inputs": [{}, {"sex": "female"}]}).json()["outputs"]
    assert infer(client, "titanic", gaps).json()["outputs"] == columns(plain, [])


def test_health_metadata_and_versions(client: TestClient, artifacts: Path) -> None:
    version = Bundle(artifacts / "mnist" / "bundle").manifest.version
    assert client.get("/v2/health/live").json() == {"live": True}
    assert client.get("/v2/health/ready").json() == {"ready": True}
    assert client.get("/v2").json()["name"] == "roadmap"
    assert client.get("/v2/models/mnist/ready").json() == {"name": "mnist", "ready": True}
    assert client.get(f"/v2/models/mnist/versions/{version}/ready").status_code == 200
    assert version in client.get("/v2/models/mnist/versions/7/ready").json()["detail"]
    assert client.get("/v2/models/minst").status_code == 404


@pytest.mark.parametrize(
    ("tensor", "words"),
    [
        (
            {"name": "age", "shape": [2], "datatype": "BYTES", "data": ["adult"]},
            "has 1 values, but shape [2] needs 2",
        ),
        ({"name": "age", "shape": [1], "datatype": "TEXT", "data": ["adult"]}, "should be 'BOOL'"),
        ({"name": "age", "shape": [-1], "datatype": "BYTES", "data": ["adult"]}, "greater than or equal to 0"),
        ({"name": "age", "shape": [1], "datatype": "BYTES", "data": [{}]}, "holds an object"),
        ({"name": "age", "shape": [1], "datatype": "INT64", "data": [3]}, "valid string"),
        ({"name": "agee", "shape": [1], "datatype": "BYTES", "data": ["adult"]}, "is not a known field"),
        ({"name": "age", "shape": [0], "datatype": "BYTES", "data": []}, "at least 1 item"),
        ({"name": "age", "shape": [2**30, 2**30], "datatype": "BYTES", "data": []}, "0 values"),
        ({"name": "age", "shape": [1], "datatype": "BYTES", "data": [[[[[[[[[[["x"]]]]]]]]]]]}, "nested deeper"),
    ],
)
def test_invalid_tensors_are_named(client: TestClient, tensor: dict[str, Any], words: str) -> None:
    response = infer(client, "titanic", tensor)
    assert response.status_code == 422 and words in response.json()["detail"], response.text


def test_tensors_with_unequal_rows_are_rejected(client: TestClient) -> None:
    tensors = [
        {"name": name, "shape": [n], "datatype": "BYTES", "data": ["male"] * n} for name, n in (("sex", 2), ("age", 3))
    ]
    assert "has 3 rows, but 'sex' has 2" in infer(client, "titanic", *tensors).json()["detail"]
