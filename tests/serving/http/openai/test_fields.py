"""OpenAI's fields, vLLM's and llama.cpp's: honoured, taken where they are off, or refused where the body has them."""

from typing import Any
from urllib.parse import unquote

import pytest
from fastapi.testclient import TestClient

from roadmap.inference.language.generation import Generator
from tests.support.letters import ask

SAID = [{"role": "user", "content": "abc"}]
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
BEGUN = [*SAID, {"role": "assistant", "content": "ej"}]
PART = {"type": "text", "text": "abc"}
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}


def chat(client: TestClient, **body: Any) -> Any:
    return client.post("/v1/chat/completions", json={"model": "mini_gpt", "messages": SAID, "max_tokens": 3, **body})


def complete(client: TestClient, **body: Any) -> Any:
    return client.post("/v1/completions", json={"model": "mini_gpt", "prompt": "abc", "max_tokens": 3, **body})


def embed(client: TestClient, **body: Any) -> Any:
    return client.post("/v1/embeddings", json={"model": "mini_gpt", "input": "abc", **body})


def refusal(response: Any) -> tuple[str, str]:
    """The pointer and its reason, of a body whose pointer leads to something in it."""
    assert response.status_code == 422, response.text
    (found,) = response.json()["errors"]
    return found["pointer"], found["detail"]


def there(pointer: str, body: Any) -> Any:
    """What the pointer leads to. Raises: KeyError, IndexError, ValueError: nothing."""
    for token in filter(None, unquote(pointer.removeprefix("#")).split("/")):
        body = body[int(token)] if isinstance(body, list) else body[token.replace("~1", "/").replace("~0", "~")]
    return body


# ---------------------------------------------------------------- what clients send

# The defaults that pages and servers send along; what running clients send is in recorded.json.
CLIENTS: dict[str, dict[str, Any]] = {
    "llama.cpp's page": {
        "stream": True,
        "cache_prompt": True,
        "samplers": "",
        "reasoning_format": "none",
        "temperature": 0.8,
        "dynatemp_range": 0,
        "dynatemp_exponent": 1,
        "top_k": 40,
        "top_p": 0.95,
        "min_p": 0,
        "typical_p": 1,
        "xtc_probability": 0,
        "xtc_threshold": 0.1,
        "repeat_last_n": 64,
        "repeat_penalty": 1,
        "presence_penalty": 0,
        "frequency_penalty": 0,
        "dry_multiplier": 0,
        "dry_base": 1.75,
        "dry_allowed_length": 2,
        "dry_penalty_last_n": -1,
        "max_tokens": -1,
        "timings_per_token": False,
    },
    "vllm's defaults": {
        "use_beam_search": False,
        "top_k": -1,
        "min_p": 0.0,
        "repetition_penalty": 1.0,
        "length_penalty": 1.0,
        "stop_token_ids": [],
        "include_stop_str_in_output": False,
        "ignore_eos": False,
        "min_tokens": 0,
        "skip_special_tokens": True,
        "spaces_between_special_tokens": True,
        "truncate_prompt_tokens": None,
        "prompt_logprobs": None,
        "add_generation_prompt": True,
        "continue_final_message": False,
        "chat_template_kwargs": {},
        "priority": 0,
        "bad_words": [],
        "include_reasoning": True,
    },
}


@pytest.mark.parametrize("name", CLIENTS)
def test_bodies_of_common_clients_are_accepted(client: TestClient, name: str) -> None:
    answer = chat(client, **CLIENTS[name])
    assert answer.status_code == 200, answer.text
    assert not CLIENTS[name].get("stream") or answer.text.endswith("data: [DONE]\n\n")


# ---------------------------------------------------------------- honoured


def test_aliases_of_supported_fields_are_honoured(client: TestClient, writer: Generator) -> None:
    plain = {"prompt": "abc", "temperature": 1.5, "seed": 5, "top_k": 3, "max_tokens": 9}
    expected = ask(writer, {**plain, "repetition_penalty": 1.5})[0].text
    by_llama = {**plain, "n_predict": 9, "repeat_penalty": 1.5, "max_tokens": 2}
    assert complete(client, **by_llama).json()["choices"][0]["text"] == expected
    assert ask(writer, {**plain, "repetition_penalty": 1.0})[0].text != expected


def test_seed_minus_one_is_no_seed_and_other_negatives_are_seeds(client: TestClient) -> None:
    def reason(seed: int) -> str:
        return str(complete(client, max_tokens=40, temperature=2, seed=seed).json()["choices"][0]["text"])

    assert reason(-1) != reason(-1)
    assert reason(-2) == reason(-2) != reason(-3)


def test_token_ids_are_decoded_to_text(client: TestClient, writer: Generator) -> None:
    ids = [writer.encode(text) for text in ("abc", "j")]
    by_text = complete(client, prompt=["abc", "j"], seed=1, logprobs=1, echo=True).json()
    assert complete(client, prompt=ids, seed=1, logprobs=1, echo=True).json()["choices"] == by_text["choices"]
    assert complete(client, prompt=ids[0], seed=1).json()["choices"][0]["text"] == by_text["choices"][0]["text"][3:]
    assert embed(client, input=ids).json()["data"] == embed(client, input=["abc", "j"]).json()["data"]
    pointer, reason = refusal(embed(client, input=[[0], [15339, 1]]))
    assert pointer == "#/input/1" and "token id 15339 is none of this model's" in reason


def test_what_an_assistant_has_begun_is_continued(client: TestClient) -> None:
    """As pages do whose users press 'continue': vLLM's and llama.cpp's way to say it."""
    continued = {"continue_final_message": True, "add_generation_prompt": False}
    settings = {"seed": 1, "max_tokens": 20}
    answer = chat(client, messages=BEGUN, **continued, **settings).json()["choices"][0]
    prompt = complete(client, prompt="aabc\nbej", stop=["\n"], **settings).json()["choices"][0]
    assert answer["message"]["content"] == prompt["text"]
    anew = chat(client, messages=BEGUN, **settings).json()["choices"][0]
    assert anew["message"]["content"] != answer["message"]["content"]


def test_the_request_id_is_in_the_response(client: TestClient) -> None:
    assert chat(client, request_id="mine").json()["id"] == "chatcmpl-mine"


def test_an_assistants_refusal_counts_as_its_content(client: TestClient) -> None:
    def answer(message: dict[str, Any]) -> Any:
        turns = [*SAID, {"role": "assistant", **message}, {"role": "user", "content": "d"}]
        return chat(client, messages=turns, seed=1, max_tokens=20).json()["choices"]

    assert answer({"content": None, "refusal": "ej"}) == answer({"content": "ej"})
    assert answer({"content": [{"type": "refusal", "refusal": "ej"}]}) == answer({"content": "ej"})
    assert answer({"content": None}) == answer({"content": ""}) == answer({})


def test_logprobs_false_is_off(client: TestClient) -> None:
    assert complete(client, logprobs=False, stream=True).status_code == 200
    assert complete(client, logprobs=False).json()["choices"][0]["logprobs"] is None


# ---------------------------------------------------------------- refused by name, with the true reason

REFUSED_CHATS: list[tuple[dict[str, Any], str, str]] = [
    ({"tools": [TOOL]}, "#/tools", "the model calls no tools"),
    ({"tool_choice": "required"}, "#/tool_choice", 'found "required"; expected tools'),
    ({"presence_penalty": 0.5}, "#/presence_penalty", "found 0.5; expected 0 or nothing"),
    ({"n": 2}, "#/n", "found 2; expected 1"),
    ({"n": True}, "#/n", "found true"),
    ({"response_format": {"type": "json_object"}}, "#/response_format", "vocabulary is not one of bytes"),
    ({"reasoning_effort": "high"}, "#/reasoning_effort", 'found "high"'),
    ({"min_p": 0.05}, "#/min_p", "found 0.05"),
    ({"guided_choice": ["a"]}, "#/guided_choice", "found a list; leave it out"),
    ({"stop": ["a", 5]}, "#/stop/1", "should be a valid string"),
    ({"stop": 5}, "#/stop", "should be a valid string, or should be a valid list"),
    ({"stop": ["a" * 101]}, "#/stop/0", "at most 100 characters"),
    ({"stop": ["a"] * 33}, "#/stop", "at most 32 items"),
    ({"max_completion_tokens": 10**6}, "#/max_completion_tokens", "less than or equal to 4096"),
    ({"n_predict": 10**6}, "#/n_predict", "less than or equal to 4096"),
    ({"max_tokens": -2}, "#/max_tokens", "greater than or equal to 0"),
    ({"repeat_penalty": 99}, "#/repeat_penalty", "less than or equal to 10"),
    ({"seed": 2**63}, "#/seed", "less than 9223372036854775808"),
    ({"seed": "x"}, "#/seed", "valid integer"),
    ({"top_logprobs": 2}, "#/top_logprobs", "needs logprobs"),
    ({"stream_options": {"include_usage": True, "more": 1}}, "#/stream_options/more", "is not a known field"),
    ({"temprature": 1}, "#/temprature", "is not a known field"),
    ({"messages": "abc"}, "#/messages", "valid list"),
    ({"continue_final_message": True}, "#/continue_final_message", "only an assistant's is continued"),
    ({"add_generation_prompt": False}, "#/add_generation_prompt", "found false"),
    (
        {"messages": BEGUN, "continue_final_message": True, "add_generation_prompt": True},
        "#/add_generation_prompt",
        "found true",
    ),
    ({"num_ctx": 2048}, "#/num_ctx", "prompts are not truncated"),
    ({"think": True}, "#/think", "found true"),
    ({"messages": []}, "#/messages", "at least 1 item"),
    ({"messages": [*SAID, {"role": "function", "content": "a"}]}, "#/messages/1/role", "'assistant'"),
    ({"messages": [*SAID, {"role": "tool", "content": "a"}]}, "#/messages", "found a tool; expected system or user"),
    ({"messages": [{"role": "user", "content": None}]}, "#/messages/0/content", "null is for assistants"),
    ({"messages": [{"role": "user", "content": 5}]}, "#/messages/0/content", "string, or should be a valid list"),
    ({"messages": [{"role": "user", "content": [PART, PICTURE]}]}, "#/messages/0/content/1/type", "should be 'text'"),
    ({"messages": [*SAID, {"role": "user", "content": "aß"}]}, "#/messages/1/content", "found 'ß'"),
    ({"messages": [*SAID, {"role": "user", "content": "a" * 30_000}]}, "#/messages/1/content", "at most 20000"),
    ({"messages": [{"role": "user", "content": "a" * 15_000}] * 2}, "#/messages", "at most 20000"),
    (
        {"messages": [*SAID, {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "function": "f"}]}]},
        "#/messages/1/tool_calls/0/function",
        "should be a JSON object",
    ),
]


@pytest.mark.parametrize(("body", "pointer", "reason"), REFUSED_CHATS, ids=lambda one: str(one)[:40])
def test_chat_errors_point_into_the_body(client: TestClient, body: Any, pointer: str, reason: str) -> None:
    found, why = refusal(chat(client, **body))
    assert found == pointer and reason in why
    there(found, body)


REFUSED_COMPLETIONS: list[tuple[dict[str, Any], str, str]] = [
    ({"prompt": ["a", ""]}, "#/prompt/1", "at least 1 character"),
    ({"prompt": ["a", 5]}, "#/prompt/1", "valid string"),
    ({"prompt": [[1], ["a"]]}, "#/prompt/1/0", "valid integer"),
    ({"prompt": 5}, "#/prompt", "valid string"),
    ({"prompt": None}, "#/prompt", "valid string"),
    ({"prompt": ["a", "ß"]}, "#/prompt/1", "found 'ß'"),
    ({"prompt": [0, 10**6]}, "#/prompt", "token id 1000000"),
    ({"prompt": ["a"] * 65}, "#/prompt", "at most 64 items"),
    ({"logprobs": 6}, "#/logprobs", "less than or equal to 5"),
    ({"n_probs": 6}, "#/n_probs", "less than or equal to 5"),
    ({"stream": True, "logprobs": 1, "echo": True}, "#/echo", "do not go together"),
    ({"suffix": "a b"}, "#/suffix", "found a text; leave it out: text can be continued"),
    ({"best_of": 2}, "#/best_of", "found 2"),
    ({"prompt_logprobs": 1}, "#/prompt_logprobs", "found 1"),
]


@pytest.mark.parametrize(("body", "pointer", "reason"), REFUSED_COMPLETIONS, ids=lambda one: str(one)[:40])
def test_completion_errors_point_into_the_body(client: TestClient, body: Any, pointer: str, reason: str) -> None:
    found, why = refusal(complete(client, **body))
    assert found == pointer and reason in why
    there(found, body)


@pytest.mark.parametrize(
    ("body", "pointer", "reason"),
    [
        ({"input": ["a", "ß"]}, "#/input/1", "found 'ß'"),
        ({"input": ["a", ""]}, "#/input/1", "at least 1 character"),
        ({"input": "ß"}, "#/input", "found 'ß'"),
        ({"dimensions": 8}, "#/dimensions", "expected 32, the dimensions of mini_gpt"),
        ({"encoding_format": "int8"}, "#/encoding_format", "'float' or 'base64'"),
        ({"truncate_prompt_tokens": 5}, "#/truncate_prompt_tokens", "found 5"),
    ],
)
def test_embedding_errors_point_into_the_body(client: TestClient, body: Any, pointer: str, reason: str) -> None:
    found, why = refusal(embed(client, **body))
    assert found == pointer and reason in why
    there(found, body)


def test_missing_fields_are_named(client: TestClient) -> None:
    response = client.post("/v1/chat/completions", json={"model": "mini_gpt", "messages": [{"role": "user"}]})
    assert refusal(response) == ("#/messages/0/content", "is missing")
