"""Bundles that must not be served are refused by name, while the others serve."""

import json
import shutil
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from serving.http.app import create_app
from serving.settings import Settings
from tests.support import bundles
from tests.support.problems import post, problem

PROJECTS = sorted(bundles.MAKERS)


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
