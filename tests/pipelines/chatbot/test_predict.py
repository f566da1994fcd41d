"""Requests are conversations: messages in, the template's prompt and stop texts behind the scenes."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from roadmap.bundle import Bundle, load_predictor
from tests.support import bundles


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder: Path = tmp_path_factory.mktemp("chatbot") / "bundle"
    bundles.chatbot(folder)
    return load_predictor(Bundle(folder))


def asked(predictor: Any, **body: Any) -> Any:
    return predictor.Request.model_validate({"temperature": 0.0, "max_tokens": 3, **body})


def test_the_answer_continues_the_conversation(predictor: Any) -> None:
    said = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "xyz"}]
    request = asked(predictor, messages=said)
    assert predictor.predict([request])[0].text == " ab"
    again = predictor.Request.model_validate(request.model_dump())  # as the prediction log has it
    assert again == request


def test_a_call_of_a_tool_and_its_result_are_part_of_the_conversation(predictor: Any) -> None:
    call = {"type": "function", "function": {"name": "f", "arguments": {}}}
    said = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": "xyz"},
    ]
    request = asked(predictor, messages=said, tools=[{"type": "function", "function": {"name": "f"}}])
    assert predictor.predict([request])[0].text == " ab"


def test_a_written_prompt_is_taken_instead(predictor: Any) -> None:
    assert predictor.predict([asked(predictor, prompt="abc")])[0].text == "def"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({}, "expected messages, or a prompt"),
        ({"messages": [{"role": "user", "content": "A"}]}, "found 'A'"),
        ({"messages": [{"role": "user", "content": "a" * 12_000}] * 2}, "at most 20,000"),
        ({"messages": [{"role": "user", "content": "a"}], "prompt": "b"}, "expected one of them"),
        ({"messages": [{"role": "robot", "content": "a"}]}, "'system', 'user', 'assistant' or 'tool'"),
    ],
)
def test_what_is_no_conversation_is_named(predictor: Any, body: Any, reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        asked(predictor, **body)
