"""The requests that clients were seen to send are answered in the shape that OpenAI's client reads, or refused by name.

recorded.json is written by record.py, from the running clients.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from openai.types import Completion, CreateEmbeddingResponse
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from serving.http.app import create_app
from serving.settings import Settings

RECORDED: list[dict[str, Any]] = json.loads((Path(__file__).parent / "recorded.json").read_text())

# Open WebUI 0.12.4 is an application and was not run: what utils/payload.py makes of its page's settings.
WEBUI = {"model": "mini_gpt", "messages": [{"role": "user", "content": "abc"}]}
TURNS = [
    {"role": "system", "content": "j"},
    {"role": "user", "content": [{"type": "text", "text": "abc"}]},
    {"role": "assistant", "content": "d"},
]
SLIDERS = {
    "temperature": 0.8, "top_k": 40, "top_p": 0.9, "min_p": 0, "frequency_penalty": 0, "presence_penalty": 0,
    "repeat_penalty": 1.1, "repeat_last_n": 64, "mirostat": 0, "mirostat_eta": 0.1, "mirostat_tau": 5, "tfs_z": 1,
    "seed": -1, "max_tokens": 8, "stop": ["\n"], "logit_bias": "", "think": False, "keep_alive": "5m", "num_gpu": 1,
    "num_thread": 2, "num_batch": 512, "use_mmap": True, "use_mlock": False, "num_keep": 0,
}  # fmt: skip
OPEN_WEBUI = [
    ("/v1/chat/completions", {**WEBUI, "stream": True}),
    ("/v1/chat/completions", {**WEBUI, "stream": True, "tools": [], "stream_options": {"include_usage": True}}),
    ("/v1/chat/completions", {**WEBUI, "stream": True, **SLIDERS}),
    ("/v1/chat/completions", {**WEBUI, "stream": False, "max_tokens": 8}),  # a title, tags, what to ask next
    (
        "/v1/chat/completions",
        {**WEBUI, "messages": TURNS, "stream": True, "continue_final_message": True, "add_generation_prompt": False},
    ),
    ("/v1/chat/completions", {**WEBUI, "stream": True, "tools": [{"type": "function", "function": {"name": "time"}}]}),
    ("/v1/chat/completions", {**WEBUI, "stream": True, "num_ctx": 2048}),
    ("/v1/embeddings", {"input": ["abc", "j"], "model": "mini_gpt"}),
]
BODIES = [
    *((f"{one['client']} {one['version']}", one["path"], one["body"]) for one in RECORDED),
    *(("Open WebUI 0.12.4", path, body) for path, body in OPEN_WEBUI),
]


CAPABLE = [body for _, path, body in BODIES if "chat" in path and (body.get("tools") or "response_format" in body)]


def refusal(body: dict[str, Any]) -> str | None:
    """The pointer to what this model can't do of the body, if it asks for such a thing."""
    if body.get("tools") and body.get("tool_choice") != "none":
        return "#/tools"
    if isinstance(body.get("input"), list) and isinstance(body["input"][0], list):
        return "#/input/0"  # OpenAI's token ids, which are none of this model's
    if "json_schema" in (body.get("response_format") or {}):
        return "#/response_format/json_schema/schema"  # its vocabulary has no braces
    return next(
        (f"#/{name}" for name in ("response_format", "reasoning_effort", "dimensions", "num_ctx") if name in body), None
    )


@pytest.mark.parametrize(("client_name", "path", "body"), BODIES, ids=lambda one: str(one)[:60])
def test_what_clients_send_is_answered_or_refused_by_name(
    client: TestClient, client_name: str, path: str, body: dict[str, Any]
) -> None:
    answer = client.post(path, json=body)
    if pointer := refusal(body):
        assert answer.status_code == 422, answer.text
        assert [one["pointer"] for one in answer.json()["errors"]] == [pointer]
        assert answer.json()["message"].startswith(pointer.removeprefix("#/"))
        return
    assert answer.status_code == 200, answer.text
    if body.get("stream"):
        streamed(path, body, answer)
    elif path == "/v1/embeddings":
        read = CreateEmbeddingResponse.model_construct(**answer.json())
        assert [one.index for one in read.data] == list(range(len(several(body["input"]))))
        as_text = body.get("encoding_format") == "base64"
        assert all(isinstance(one.embedding, str if as_text else list) for one in read.data)
    else:
        kind: Any = ChatCompletion if "chat" in path else Completion
        whole = kind.model_construct(**answer.json()) if body.get("echo") else kind.model_validate_json(answer.text)
        prompts = len(several(body.get("prompt", "")))
        assert [choice.index for choice in whole.choices] == list(range(prompts))
        most = body.get("max_completion_tokens") or body.get("max_tokens") or 256
        assert whole.usage.completion_tokens <= most * prompts


@pytest.fixture(scope="module")
def capable(chatml: Path) -> Iterator[TestClient]:
    """A server of a model that calls tools."""
    with TestClient(create_app(Settings(bundles=str(chatml)))) as client:
        yield client


@pytest.mark.parametrize("body", CAPABLE, ids=lambda one: str(one)[-60:])
def test_tools_and_schemas_of_clients_are_taken_by_a_model_that_has_them(
    capable: TestClient, body: dict[str, Any]
) -> None:
    answer = capable.post("/v1/chat/completions", json={"max_tokens": 8, **body})
    assert answer.status_code == 200, answer.text
    if body.get("stream"):
        streamed("/v1/chat/completions", body, answer)
    else:
        assert ChatCompletion.model_validate_json(answer.text).usage


def several(given: str | list[str]) -> list[str]:
    return given if isinstance(given, list) else [given]


def streamed(path: str, body: dict[str, Any], answer: Any) -> None:
    assert answer.headers["content-type"].startswith("text/event-stream")
    *chunks, done = [line.removeprefix("data: ") for line in answer.text.split("\n\n") if line]
    assert done == "[DONE]"
    # Of a completion's chunks the reference has no type of their own: theirs says why it ended, or null.
    kind: Any = ChatCompletionChunk if "chat" in path else Completion
    found = [kind.model_construct(**json.loads(chunk)) for chunk in chunks]
    if "chat" in path:
        assert [kind.model_validate_json(chunk) for chunk in chunks]
    counted = bool((body.get("stream_options") or {}).get("include_usage"))
    assert [bool(getattr(one, "usage", None)) for one in found] == [False] * (len(found) - counted) + [True] * counted
    reasons = [choice.finish_reason for one in found for choice in one.choices]
    assert reasons[-1] in ("stop", "length") and not any(reasons[:-1])


def test_the_clients_that_were_recorded_are_these() -> None:
    assert {one["client"] for one in RECORDED} == {
        "openai", "LangChain", "LlamaIndex", "LiteLLM", "Continue", "Vercel's AI SDK",
    }  # fmt: skip
    for client in ("LangChain", "LlamaIndex", "LiteLLM", "Continue"):
        of_it = [one for one in RECORDED if one["client"] == client]
        assert {one["path"] for one in of_it} == {"/v1/chat/completions", "/v1/completions", "/v1/embeddings"}
        assert {bool(one["body"].get("stream")) for one in of_it} == {True, False}
