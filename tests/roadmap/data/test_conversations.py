"""Conversations: three formats, one meaning; what is broken is named by file and number."""

import gzip
import json
import lzma
from pathlib import Path
from typing import Any

import pytest

from roadmap.data.conversations import Message, read_conversations
from roadmap.io.errors import UsageError

WEATHER = {"name": "weather", "arguments": {"city": "Bern"}}
TOOLS = [{"name": "weather", "parameters": {"type": "object"}}]
ALPACA = {
    "system": "Be brief.",
    "history": [["Hi", "Hello."]],
    "instruction": "Weather?",
    "input": "Bern",
    "output": "Sun.",
}
SHAREGPT = {
    "system": "Be brief.",
    "tools": json.dumps(TOOLS),
    "conversations": [
        {"from": "human", "value": "Weather in Bern?"},
        {"from": "function_call", "value": json.dumps(WEATHER)},
        {"from": "observation", "value": "sun"},
        {"from": "gpt", "value": "Sun."},
    ],
}
OPENAI = {
    "tools": TOOLS,
    "messages": [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Weather in Bern?"}]},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"function": {"name": "weather", "arguments": '{"city": "Bern"}'}}],
        },
        {"role": "tool", "content": "sun", "tool_call_id": "1"},
        {"role": "assistant", "content": "Sun."},
    ],
}


def written(folder: Path, *rows: Any, name: str = "chat.json") -> Path:
    path = folder / name
    path.write_text(json.dumps(rows))
    return path


def test_alpacas_history_and_input_are_turns(tmp_path: Path) -> None:
    (found,), broken = read_conversations(written(tmp_path, ALPACA))
    turns = [
        ("system", "Be brief."),
        ("user", "Hi"),
        ("assistant", "Hello."),
        ("user", "Weather?\nBern"),
        ("assistant", "Sun."),
    ]
    assert found.messages == tuple(Message(*turn) for turn in turns)
    assert not broken


def test_sharegpt_and_openai_say_the_same(tmp_path: Path) -> None:
    (one, two), _ = read_conversations(written(tmp_path, SHAREGPT, OPENAI))
    assert one.messages == two.messages
    assert one.tools == two.tools == tuple(TOOLS)
    assert one.messages[2] == Message("assistant", "", (WEATHER,))
    assert (one.place, two.place) == ("chat.json: conversation 1", "chat.json: conversation 2")


def test_packed_files_and_lines_are_read(tmp_path: Path) -> None:
    content = "\n".join(json.dumps(row) for row in (ALPACA, OPENAI)).encode()
    (tmp_path / "a.jsonl.xz").write_bytes(lzma.compress(content))
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(content))
    one, two = (read_conversations(tmp_path / name)[0] for name in ("a.jsonl.xz", "a.jsonl.gz"))
    assert [found.messages for found in one] == [found.messages for found in two]
    assert len(one) == 2


def turns(*roles: str) -> dict[str, Any]:
    return {"messages": [{"role": role, "content": "x"} for role in roles]}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (turns("user", "user"), "turn 2: found user after user; expected assistant"),
        (turns("assistant"), "turn 1: found assistant at first; expected system or user"),
        (turns("user", "assistant", "system"), "turn 3: found system after assistant; expected user"),
        (turns("user"), "found user at the end; expected an answer of the assistant"),
        (turns("user", "tool"), "turn 2: found tool after user; expected assistant"),
        (turns(), "found no turn at the end"),
        ({"messages": [{"role": "user", "content": " "}]}, "turn 1: found an empty user turn; expected text"),
        ({"instruction": "Hi", "output": ""}, "turn 2: found an empty assistant turn"),
        ({"messages": [{"role": "narrator", "content": "x"}]}, "found the role 'narrator'; expected one of system"),
        ({"messages": {"role": "user"}}, "messages: found an object; expected a list"),
        ({"prompt": "Hi"}, "found the keys prompt; expected messages, conversations or instruction"),
        ({"instruction": 3}, "instruction: found a number; expected text"),
        ({"instruction": "Hi", "history": [["a"]]}, "history: found a list; expected pairs"),
        ({**SHAREGPT, "tools": "[{"}, "tools: found broken JSON"),
        ({"conversations": [{"from": "function_call", "value": '{"arguments": {}}'}]}, "tool call: found an object"),
        ([], "found a list; expected an object"),
    ],
)
def test_a_broken_conversation_is_named_and_the_rest_is_read(tmp_path: Path, row: Any, message: str) -> None:
    found, (line,) = read_conversations(written(tmp_path, ALPACA, row, OPENAI))
    assert len(found) == 2
    assert line.startswith(f"chat.json: conversation 2: {message}")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", b"[]", "holds no conversation"),
        ("a.json", b'[{"instruction"', "line 1: no JSON"),
        ("a.jsonl", b'{"instruction": "a", "output": "b"}\n{', "line 2: no JSON"),
        ("a.json", b'[{"instruction": "a"}]', "conversation 1: turn 2: found an empty assistant turn"),
        ("a.json.xz", b"[]", "can't be read"),
        ("a.json", "[ä]".encode("utf-16"), "not UTF-8 text"),
    ],
)
def test_a_file_without_conversations_is_one_line(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError, match=message):
        read_conversations(tmp_path / name)
