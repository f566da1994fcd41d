"""Tools, JSON schemas and streamed log-probabilities, by the official client on a model that chats in ChatML."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from fastapi.testclient import TestClient
from jsonschema import validate
from openai import OpenAI
from pydantic import BaseModel

from roadmap.inference.language import writing
from serving.http.app import create_app
from serving.settings import Settings
from tests.support.letters import byte_level, served

ASKED: Any = [{"role": "user", "content": "What is the weather in Bern?"}]
PARAMETERS: dict[str, Any] = {
    "type": "object",
    "properties": {"days": {"type": "integer", "minimum": 1, "maximum": 9}, "unit": {"enum": ["°C", "°F"]}},
    "required": ["days", "unit"],
    "additionalProperties": False,
}
WEATHER: Any = {"type": "function", "function": {"name": "weather", "parameters": PARAMETERS, "strict": True}}
CLOCK: Any = {"type": "function", "function": {"name": "clock", "description": "The time."}}
UNIQUE = {"type": "object", "properties": {"a": {"type": "array", "uniqueItems": True}}}


class Found(BaseModel):
    place: bool
    days: list[int] | None


@pytest.fixture(scope="module")
def client(chatml: Path) -> Iterator[TestClient]:
    with TestClient(create_app(Settings(bundles=str(chatml))), raise_server_exceptions=False) as client:
        yield client


@pytest.fixture(scope="module")
def chats(chatml: Path) -> Iterator[Any]:
    with served(chatml) as (_, address):
        yield OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0).chat.completions


def create(chats: Any, **body: Any) -> Any:
    return chats.create(**{"model": "mini_gpt", "messages": ASKED, "seed": 1, "max_tokens": 300, **body})


@pytest.fixture
def says(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes the model say a text of ASCII."""
    tokenizer = byte_level("<|im_start|>", "<|im_end|>")

    def say(text: str) -> None:
        tokens = iter([*tokenizer.encode(text).ids, tokenizer.token_to_id("<|im_end|>")])
        monkeypatch.setattr(writing, "draw", lambda p, rng: next(tokens))

    return say


# ---------------------------------------------------------------- tools


CALLS = '<tool_call>\n{"name": "weather", "arguments": {"days": 3, "unit": "C"}}\n</tool_call>'


def streamed(chunks: Any) -> tuple[str, list[dict[str, str]], str]:
    """Content, calls and the finish reason, put together as OpenAI's guide does."""
    content, calls, reason = "", list[dict[str, str]](), ""
    for chunk in chunks:
        (choice,) = chunk.choices
        content += choice.delta.content or ""
        reason = choice.finish_reason or reason
        for part in choice.delta.tool_calls or []:
            if part.index == len(calls):
                assert part.id and part.type == "function" and part.function.arguments == ""
                calls.append({"name": part.function.name, "arguments": ""})
            else:
                assert part.id is None and part.function.name is None
                calls[part.index]["arguments"] += part.function.arguments
    return content, calls, reason


@pytest.mark.parametrize(
    ("text", "content", "count"),
    [
        (f"Let me see.\n{CALLS}\n{CALLS}", "Let me see.", 2),
        (CALLS, None, 1),
        ("It rains.", "It rains.", 0),
        (CALLS.replace("3,", ""), CALLS.replace("3,", ""), 0),
        (CALLS.replace("weather", "wether"), CALLS.replace("weather", "wether"), 0),
    ],
)
def test_calls_in_the_text_are_tool_calls(chats: Any, says: Any, text: str, content: str | None, count: int) -> None:
    says(text)
    (choice,) = create(chats, tools=[WEATHER, CLOCK]).choices
    calls = choice.message.tool_calls or []
    assert (choice.message.content, len(calls)) == (content, count)
    assert choice.finish_reason == ("tool_calls" if count else "stop")
    assert all(json.loads(call.function.arguments) == {"days": 3, "unit": "C"} for call in calls)
    assert len({call.id for call in calls}) == count
    says(text)
    found = streamed(create(chats, tools=[WEATHER, CLOCK], stream=True))
    assert found == (
        content or "",
        [{"name": call.function.name, "arguments": call.function.arguments} for call in calls],
        choice.finish_reason,
    )


def test_without_parallel_calls_there_is_one(chats: Any, says: Any) -> None:
    says(f"{CALLS}\n{CALLS}")
    assert len(create(chats, tools=[WEATHER], parallel_tool_calls=False).choices[0].message.tool_calls) == 1


@pytest.mark.parametrize("offer", [{}, {"tools": [WEATHER], "tool_choice": "none"}])
def test_where_no_tool_may_be_called_all_is_content(chats: Any, says: Any, offer: Any) -> None:
    says(CALLS)
    message = create(chats, **offer).choices[0].message
    assert (message.content, message.tool_calls) == (CALLS, None)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "weather"}}])
def test_a_required_call_is_made_and_its_arguments_are_of_the_schema(chats: Any, choice: Any, stream: bool) -> None:
    for seed in range(2):
        body = {"tools": [CLOCK, WEATHER], "tool_choice": choice, "seed": seed, "temperature": 1.5, "max_tokens": 800}
        if stream:
            content, calls, reason = streamed(create(chats, **body, stream=True, parallel_tool_calls=False))
            assert not content
        else:
            (found,) = create(chats, **body, parallel_tool_calls=False).choices
            reason = found.finish_reason
            calls = [call.function.model_dump() for call in found.message.tool_calls]
        (call,) = calls
        assert reason == "tool_calls" and call["name"] in (
            ["weather", "clock"] if choice == "required" else ["weather"]
        )
        arguments = json.loads(call["arguments"])
        assert arguments == {} if call["name"] == "clock" else validate(arguments, PARAMETERS) is None


def test_the_model_reads_tools_calls_and_results(chats: Any, client: TestClient) -> None:
    first = create(chats, tools=[WEATHER], tool_choice="required", parallel_tool_calls=False).choices[0].message
    result = {"role": "tool", "tool_call_id": first.tool_calls[0].id, "content": "sun"}
    found = create(chats, messages=[*ASKED, first, result], tools=[WEATHER], max_tokens=1)
    call = json.dumps(json.loads(first.tool_calls[0].function.arguments), ensure_ascii=False)
    prompt = (
        f"<|im_start|>system\nTools: {json.dumps(WEATHER, ensure_ascii=False)}<|im_end|>\n"
        f"<|im_start|>user\n{ASKED[0]['content']}<|im_end|>\n"
        f'<|im_start|>assistant\n<tool_call>\n{{"name": "weather", "arguments": {call}}}\n</tool_call><|im_end|>\n'
        "<|im_start|>tool\nsun<|im_end|>\n<|im_start|>assistant\n"
    )
    body = {"model": "mini_gpt", "prompt": prompt, "max_tokens": 1}
    counted = client.post("/v1/completions", json=body).json()["usage"]
    assert found.usage.prompt_tokens == counted["prompt_tokens"]


# ---------------------------------------------------------------- response_format


def test_the_answer_is_json_of_the_schema(chats: Any) -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "w", "schema": PARAMETERS, "strict": True}}
    for seed in range(2):
        (choice,) = create(chats, response_format=wanted, seed=seed, temperature=1.5).choices
        validate(json.loads(choice.message.content), PARAMETERS)
        assert choice.finish_reason == "stop"
    whole = create(chats, response_format=wanted).choices[0].message.content
    assert streamed(create(chats, response_format=wanted, stream=True))[0] == whole


def test_the_client_parses_its_own_types(chats: Any) -> None:
    found = chats.parse(model="mini_gpt", messages=ASKED, response_format=Found, seed=1, max_tokens=900)
    assert isinstance(found.choices[0].message.parsed, Found)


def test_json_object_is_an_object(chats: Any) -> None:
    found = create(chats, response_format={"type": "json_object"}, seed=1)
    (choice,) = found.choices
    assert choice.finish_reason == "length" or isinstance(json.loads(choice.message.content), dict)
    assert choice.message.content.startswith("{")


def test_beside_a_schema_tools_may_be_called(chats: Any) -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "w", "schema": PARAMETERS}}
    kinds = set()
    for seed in range(6):
        message = create(chats, response_format=wanted, tools=[WEATHER], seed=seed, temperature=3).choices[0].message
        kinds.add(bool(message.tool_calls))
        texts = [call.function.arguments for call in message.tool_calls or []] or [message.content]
        for text in texts:
            validate(json.loads(text), PARAMETERS)
    assert kinds == {True, False}


CALL: Any = {"id": "1", "function": {"name": "a", "arguments": ""}}
CUT: Any = {"id": "1", "function": {"name": "a", "arguments": "{"}}
REFUSED: list[tuple[dict[str, Any], str, str]] = [
    (
        {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": UNIQUE}}},
        "#/response_format/json_schema/schema",
        'can\'t be enforced: Unimplemented keys: ["uniqueItems"]',
    ),
    ({"response_format": {"type": "json_schema"}}, "#/response_format", "needs json_schema"),
    ({"response_format": {"type": "xml"}}, "#/response_format/type", "'json_schema'"),
    (
        {
            "tools": [WEATHER, {"type": "function", "function": {"name": "u", "parameters": UNIQUE}}],
            "tool_choice": "required",
        },
        "#/tools/1/function/parameters",
        "uniqueItems",
    ),
    ({"tool_choice": "required"}, "#/tool_choice", "expected tools to choose from"),
    (
        {"tools": [WEATHER], "tool_choice": {"type": "function", "function": {"name": "time"}}},
        "#/tool_choice",
        "expected weather",
    ),
    ({"tools": [{"type": "custom", "function": {"name": "a"}}]}, "#/tools/0/type", "should be 'function'"),
    ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "#/tools/0/function/name", "pattern"),
    ({"messages": [*ASKED, {"role": "user", "content": " "}]}, "#/messages", "chat template: every turn needs words"),
    ({"messages": [{**ASKED[0], "tool_calls": [CALL]}]}, "#/messages/0/tool_calls", "only an assistant"),
    (
        {"messages": [{"role": "assistant", "tool_calls": [CUT]}]},
        "#/messages/0/tool_calls/0/function/arguments",
        "JSON object",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("body", "pointer", "reason"), REFUSED, ids=lambda one: str(one)[:40])
def test_refusals_point_into_the_body(client: TestClient, body: Any, pointer: str, reason: str) -> None:
    answer = client.post("/v1/chat/completions", json={"model": "mini_gpt", "messages": ASKED, **body})
    assert answer.status_code == 422, answer.text
    (error,) = answer.json()["errors"]
    assert error["pointer"] == pointer and reason in error["detail"]


# ---------------------------------------------------------------- log-probabilities of streams


@pytest.mark.parametrize(
    "body", [{}, {"stop": "Z"}, {"tools": [WEATHER], "tool_choice": "required", "parallel_tool_calls": False}]
)
def test_a_stream_has_the_log_probabilities_of_the_whole(chats: Any, body: Any) -> None:
    body = {"max_tokens": 200, "logprobs": True, "top_logprobs": 2, **body}
    whole = create(chats, **body).choices[0]
    chunks = [chunk.choices[0] for chunk in create(chats, **body, stream=True)]
    found = [one for chunk in chunks if chunk.logprobs for one in chunk.logprobs.content]
    assert [one.model_dump() for one in found] == [one.model_dump() for one in whole.logprobs.content]
    if "tools" not in body:  # each beside its own text
        for chunk in chunks[1:-1]:
            assert chunk.logprobs.content
    assert chunks[-1].finish_reason == whole.finish_reason


def test_a_stream_of_completions_has_them_too(client: TestClient) -> None:
    body = {"model": "mini_gpt", "prompt": "abc", "max_tokens": 60, "logprobs": 1, "seed": 2}
    whole = client.post("/v1/completions", json=body).json()["choices"][0]["logprobs"]
    lines = client.post("/v1/completions", json={**body, "stream": True}).text.split("\n\n")
    chunks = [json.loads(line.removeprefix("data: "))["choices"][0]["logprobs"] for line in lines[:-2]]
    for key in ("tokens", "token_logprobs", "text_offset", "top_logprobs"):
        assert [one for chunk in chunks if chunk for one in chunk[key]] == whole[key]


def test_a_refusal_is_the_clients_own_error(chats: Any) -> None:
    with pytest.raises(openai.UnprocessableEntityError, match="uniqueItems"):
        create(chats, response_format={"type": "json_schema", "json_schema": {"name": "a", "schema": UNIQUE}})
