"""Tensors as bytes, as Triton's client sends them (tritonclient 2.73): without a content type, sizes in parameters."""

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from roadmap.bundle import Bundle
from serving.http.kserve.tensors import columns
from tests.support import bundles

HEADER = "inference-header-content-length"
TYPES = {"FP64": "<f8", "INT64": "<i8", "BOOL": "?"}


def blob(datatype: str, data: list[Any]) -> bytes:
    if datatype != "BYTES":
        return np.array(data, TYPES[datatype]).tobytes()
    return b"".join(struct.pack("<I", len(text.encode())) + text.encode() for text in data)


def posted(client: TestClient, project: str, content: Any, blobs: bytes = b"", **headers: str) -> Any:
    header = content if isinstance(content, bytes) else json.dumps(content).encode()
    headers = {HEADER: str(len(header)), **headers}
    return client.post(f"/v2/models/{project}/infer", content=header + blobs, headers=headers)


def tensor(name: str, datatype: str, shape: list[int], size: int) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape, "parameters": {"binary_data_size": size}}


def unpacked(answer: Any) -> list[dict[str, Any]]:
    """The outputs with their values in place of their bytes."""
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/octet-stream"
    at = int(answer.headers[HEADER])
    outputs = json.loads(answer.content[:at])["outputs"]
    for one in outputs:
        size = one.pop("parameters")["binary_data_size"]
        content, at = answer.content[at : at + size], at + size
        if one["datatype"] != "BYTES":
            one["data"] = np.frombuffer(content, TYPES[one["datatype"]]).tolist()
            continue
        one["data"] = []
        while content:
            end = 4 + struct.unpack("<I", content[:4])[0]
            one["data"].append(content[4:end].decode())
            content = content[end:]
    assert at == len(answer.content)
    return outputs


@pytest.mark.parametrize("project", sorted(bundles.ALL))
def test_bytes_mean_what_json_means(client: TestClient, artifacts: Path, project: str) -> None:
    tensors = columns(Bundle(artifacts / project / "bundle").example, [])
    plain = client.post(f"/v2/models/{project}/infer", json={"inputs": tensors}).json()["outputs"]
    blobs = [blob(one["datatype"], one["data"]) for one in tensors]
    inputs = [tensor(one["name"], one["datatype"], one["shape"], len(b)) for one, b in zip(tensors, blobs, strict=True)]
    content = {"inputs": inputs, "parameters": {"binary_data_output": True}}
    assert unpacked(posted(client, project, content, b"".join(blobs))) == plain
    as_json = posted(client, project, {"inputs": inputs}, b"".join(blobs))
    assert as_json.json()["outputs"] == plain and HEADER not in as_json.headers


def test_each_output_says_how_it_is_wanted(client: TestClient) -> None:
    sex = {"name": "sex", "shape": [2], "datatype": "BYTES", "data": ["male", "female"]}
    wanted = [{"name": "label", "parameters": {"binary_data": True}}, {"name": "probability"}]
    answer = client.post("/v2/models/titanic/infer", content=json.dumps({"inputs": [sex], "outputs": wanted}))
    label, probability = json.loads(answer.content[: int(answer.headers[HEADER])])["outputs"]
    assert "data" not in label and label["parameters"]["binary_data_size"] and len(probability["data"]) == 2


def test_small_types_and_a_header_of_another_content_type(client: TestClient) -> None:
    area = tensor("area_m2", "FP32", [1], 4)
    plain = client.post("/models/house_prices/predict", json={"inputs": [{"area_m2": 90.5}]}).json()["outputs"]
    for kind in ("application/octet-stream", "application/json", ""):
        answer = posted(client, "house_prices", {"inputs": [area]}, struct.pack("<f", 90.5), **{"content-type": kind})
        assert answer.json()["outputs"] == columns(plain, [])


SEX = tensor("sex", "BYTES", [1], 8)
MALE = blob("BYTES", ["male"])


@pytest.mark.parametrize(
    ("content", "blobs", "headers", "status", "header"),
    [
        ({"inputs": [SEX]}, MALE + b"x", {}, 400, "1 bytes follow the tensors"),
        ({"inputs": [SEX]}, MALE[:-1], {}, 422, "#/inputs/0/parameters/binary_data_size"),
        ({"inputs": [tensor("sex", "BYTES", [1], -1)]}, MALE, {}, 422, "#/inputs/0/parameters/binary_data_size"),
        ({"inputs": [{**SEX, "parameters": {"binary_data_size": "8"}}]}, MALE, {}, 422, "binary_data_size"),
        ({"inputs": [tensor("sex", "INT64", [1], 7)]}, MALE[:7], {}, 422, "values have 8 bytes each"),
        ({"inputs": [SEX]}, b"\xff\0\0\0male", {}, 422, "longer than the tensor"),
        ({"inputs": [SEX]}, b"\4\0\0\0mal\xff", {}, 422, "no UTF-8"),
        ({"inputs": [{**SEX, "shape": [2]}]}, MALE, {}, 422, "#/inputs/0/data"),
        ({"inputs": [{**SEX, "datatype": "BF16"}]}, MALE, {}, 422, "#/inputs/0/datatype"),
        ({"inputs": [{**SEX, "datatype": ["BYTES"]}]}, MALE, {}, 422, "#/inputs/0/datatype"),
        ({"inputs": "none"}, b"", {}, 422, "#/inputs"),
        ([1], b"", {}, 422, "JSON object"),
        (b"{", b"}", {}, 400, "not JSON"),
        ({"inputs": [SEX]}, MALE, {HEADER: "0"}, 400, "expected the bytes of the JSON"),
        ({"inputs": [SEX]}, MALE, {HEADER: "-1"}, 400, "expected the bytes of the JSON"),
        ({"inputs": [SEX]}, MALE, {HEADER: "9" * 40}, 400, "expected the bytes of the JSON"),
        ({"inputs": [SEX]}, MALE, {HEADER: "many"}, 400, "found many"),
    ],
)
def test_bytes_that_do_not_fit_are_named(
    client: TestClient, content: Any, blobs: bytes, headers: dict[str, str], status: int, header: str
) -> None:
    answer = posted(client, "titanic", content, blobs, **headers)
    assert answer.status_code == status and header in answer.text, answer.text
    assert answer.json()["error"] == answer.json()["detail"]


def test_numbers_that_are_none_are_refused_as_in_json(client: TestClient) -> None:
    area = tensor("area_m2", "FP64", [2], 16)
    answer = posted(client, "house_prices", {"inputs": [area]}, struct.pack("<2d", 90, float("nan")))
    assert answer.json()["errors"][0]["pointer"] == "#/inputs/0/data/1"
