"""POST /models/<project>/stream, and its errors."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from roadmap.inference.language.generation import Generator
from serving.http.app import create_app
from serving.settings import Settings
from tests.support.letters import ask


@pytest.fixture(scope="module")
def client(letters: Path) -> Iterator[TestClient]:
    with TestClient(create_app(Settings(bundles=str(letters))), raise_server_exceptions=False) as client:
        yield client


BAD: list[tuple[dict[str, Any], str]] = [
    ({"prompt": ""}, "at least 1 character"),
    ({"prompt": "a" * 20_001}, "at most 20000 characters"),
    ({"prompt": "abß"}, "'ß'"),
    ({"prompt": 3}, "string"),
    ({"prompt": None}, "string"),
    ({}, "missing"),
    ({"prompt": "a", "max_tokens": -1}, "greater than or equal to 0"),
    ({"prompt": "a", "max_tokens": 10**9}, "less than or equal to 4096"),
    ({"prompt": "a", "temperature": -1}, "greater than or equal to 0"),
    ({"prompt": "a", "temperature": 1e308}, "less than or equal to 10"),
    ({"prompt": "a", "top_p": 0}, "greater than 0"),
    ({"prompt": "a", "stop": [""]}, "at least 1 character"),
    ({"prompt": "a", "stop": ["a"] * 33}, "at most 32"),
    ({"prompt": "a", "seed": -1}, "greater than or equal to 0"),
    ({"prompt": "a", "seed": 2**64}, "less than"),
    ({"prompt": "a", "temprature": 1}, "not a known field"),
]


@pytest.mark.parametrize(("body", "message"), BAD, ids=lambda value: str(value)[:40])
def test_invalid_requests_are_explained(client: TestClient, body: dict[str, Any], message: str) -> None:
    headers = {"content-type": "application/json"}
    for path, content in (("predict", {"inputs": [body]}), ("stream", body)):
        answer = client.post(f"/models/mini_gpt/{path}", content=json.dumps(content), headers=headers)
        assert answer.status_code == 422 and answer.headers["content-type"] == "application/problem+json"
        assert message in answer.text


def test_a_stream_ends_with_the_response(client: TestClient, writer: Generator) -> None:
    body = {"prompt": "abc", "max_tokens": 30, "seed": 5}
    answer = client.post("/models/mini_gpt/stream", json=body)
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = [dict(line.split(": ", 1) for line in event.splitlines()) for event in answer.text.strip().split("\n\n")]
    *pieces, last = [(event["event"], json.loads(event["data"])) for event in events]
    assert last == ("done", ask(writer, body)[0].model_dump())
    assert "".join(piece["text"] for _, piece in pieces) == last[1]["text"]


def test_only_text_generators_have_a_stream(client: TestClient) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    assert [path for path in paths if path.endswith("/stream")] == ["/models/mini_gpt/stream"]


def test_a_request_has_at_most_64_prompts(client: TestClient) -> None:
    body = {"prompt": "a", "max_tokens": 1}
    assert client.post("/models/mini_gpt/predict", json={"inputs": [body] * 64}).status_code == 200
    answer = client.post("/models/mini_gpt/predict", json={"inputs": [body] * 65})
    assert answer.status_code == 422 and "at most 64" in answer.text
