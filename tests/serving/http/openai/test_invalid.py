"""What OpenAI's addresses can't do: a problem that says which field, or which model."""

import json
import shutil
from pathlib import Path
from typing import Any

import onnx
import pytest
from fastapi.testclient import TestClient

from roadmap.bundle import MANIFEST, write_manifest
from serving.http.app import create_app
from serving.settings import Settings


@pytest.mark.parametrize(
    ("body", "status", "detail"),
    [
        ({"model": "mini_gpd", "prompt": "a"}, 404, "did you mean 'mini_gpt'?"),
        ({"model": "mini_gpt", "prompt": []}, 422, "prompt"),
        ({"model": "mini_gpt", "prompt": "ß"}, 422, "found 'ß'"),
        ({"model": "mini_gpt", "prompt": [1, 20]}, 422, "token id 20 is none"),
        ({"model": "mini_gpt", "prompt": "a", "n": 2}, 422, "n"),
        ({"model": "mini_gpt", "prompt": "a", "logprobs": 6}, 422, "logprobs"),
        ({"model": "mini_gpt", "prompt": "a", "presence_penalty": 0.5}, 422, "presence_penalty"),
        ({"model": "mini_gpt", "prompt": "a", "stream": True, "logprobs": 1, "echo": True}, 422, "do not go together"),
        ({"model": "mini_gpt", "prompt": ["a"] * 65}, 422, "at most 64"),
        ({"model": "mini_gpt", "prompt": "a", "best_of": 2}, 422, "best_of"),
        ({"model": "mini_gpt", "prompt": "a", "max_tokens": 10**6}, 422, "max_tokens"),
        ({"model": "mini_gpt", "prompt": "a", "stream": True, "temperature": -1}, 422, "temperature"),
    ],
)
def test_invalid_completions_are_explained(client: TestClient, body: dict[str, Any], status: int, detail: str) -> None:
    answer = client.post("/v1/completions", json=body)
    assert answer.status_code == status and answer.headers["content-type"] == "application/problem+json"
    assert detail in answer.text


@pytest.mark.parametrize(
    ("changes", "status", "detail"),
    [
        ({"messages": []}, 422, "messages"),
        (
            {"messages": [{"role": "user", "content": "ß"}]},
            422,
            "messages/0/content: should have only characters",
        ),
        ({"messages": [{"role": "tool", "content": "a"}]}, 422, "found a tool; expected system or user or assistant"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]}, 422, "messages"),
        ({"messages": [{"role": "user", "content": "a" * 30_000}]}, 422, "at most 20000"),
        ({"model": "gpt-4o"}, 404, "There are: mini_gpt"),
        ({"max_tokens": 10**6}, 422, "max_tokens"),
        ({"top_logprobs": 2}, 422, "needs logprobs"),
        ({"tools": [{"type": "function"}]}, 422, "tools"),
        ({"n": 2}, 422, "n"),
        ({"response_format": {"type": "json_object"}}, 422, "response_format"),
        ({"stop": ["a"] * 33}, 422, "stop"),
        ({"stream": True, "temperature": 11}, 422, "temperature"),
    ],
)
def test_invalid_chats_are_explained(client: TestClient, changes: dict[str, Any], status: int, detail: str) -> None:
    body = {"model": "mini_gpt", "messages": [{"role": "user", "content": "a"}], **changes}
    answer = client.post("/v1/chat/completions", json=body)
    assert answer.status_code == status and answer.headers["content-type"] == "application/problem+json"
    assert detail in answer.text


@pytest.mark.parametrize(
    ("changes", "status", "detail"),
    [
        ({"input": "ß"}, 422, "should have only characters"),
        ({"input": []}, 422, "input"),
        ({"input": ["a", ""]}, 422, "input"),
        ({"input": [1, 20]}, 422, "token id 20 is none"),
        ({"input": ["a"] * 257}, 422, "at most 256"),
        ({"input": "a" * 30_000}, 422, "at most 20000"),
        ({"dimensions": 8}, 422, "expected 32"),
        ({"encoding_format": "int8"}, 422, "encoding_format"),
        ({"model": "ada"}, 404, "model that embeds text"),
    ],
)
def test_invalid_embedding_requests_are_explained(
    client: TestClient, changes: dict[str, Any], status: int, detail: str
) -> None:
    answer = client.post("/v1/embeddings", json={"model": "mini_gpt", "input": "a", **changes})
    assert answer.status_code == status and answer.headers["content-type"] == "application/problem+json"
    assert detail in answer.text


def test_an_older_bundle_generates_text_without_embeddings(letters: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(letters, tmp_path / "old")) / "mini_gpt" / "bundle"
    graph = onnx.load(folder / "decoder.onnx")
    graph.graph.output.remove(next(one for one in graph.graph.output if one.name == "hidden"))
    onnx.save(graph, folder / "decoder.onnx")
    lineage = json.loads((folder / MANIFEST).read_text())
    del lineage["files"]
    write_manifest(folder, **lineage)
    with TestClient(create_app(Settings(bundles=str(tmp_path / "old")))) as client:
        refused = client.post("/v1/embeddings", json={"model": "mini_gpt", "input": "a"})
        assert refused.status_code == 404 and "no model that embeds text" in refused.text
        assert client.post("/v1/completions", json={"model": "mini_gpt", "prompt": "a"}).status_code == 200
