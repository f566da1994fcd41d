"""Conversations: Alpaca's, ShareGPT's and OpenAI's files, all read as OpenAI's messages.

A file is JSON (a list) or JSON lines, packed by xz or gzip if its name says so. Formats may be mixed in one file:

    alpaca     {"instruction", "input", "output", "system", "history": [[question, answer], ...]}
    sharegpt   {"conversations": [{"from", "value"}, ...], "system", "tools"}
    openai     {"messages": [{"role", "content", "tool_calls"}, ...], "tools"}
"""

import gzip
import json
import lzma
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from roadmap.io.errors import UsageError
from roadmap.io.json import JsonObject
from roadmap.io.texts import decoded

ROLES = {
    "system": "system", "developer": "system",
    "user": "user", "human": "user",
    "assistant": "assistant", "gpt": "assistant", "function_call": "assistant",
    "tool": "tool", "observation": "tool",
}  # fmt: skip
FOLLOWS = {  # who may speak after whom
    "": ("system", "user"),
    "system": ("user",),
    "user": ("assistant",),
    "assistant": ("user",),
    "assistant with tool calls": ("tool",),
    "tool": ("tool", "assistant"),
}


@dataclass(frozen=True)
class Message:
    """role: system, user, assistant or tool; tool_calls: {"name", "arguments": an object} each"""

    role: str
    content: str
    tool_calls: tuple[JsonObject, ...] = ()


@dataclass(frozen=True)
class Conversation:
    """tools: JSON schemas of the functions that may be called; place: file and number, as messages name it"""

    messages: tuple[Message, ...]
    tools: tuple[JsonObject, ...] = ()
    place: str = ""


def read_conversations(path: Path) -> tuple[list[Conversation], list[str]]:
    """The conversations of a file, and a line about each that is broken.

    Raises:
        UsageError: the file can't be read, or holds none.
    """
    found, broken = list[Conversation](), list[str]()
    for number, row in rows(path):
        place = f"{path.name}: conversation {number}"
        try:
            conversation = Conversation(*messages_of(row), place)
            check(conversation.messages)
        except ValueError as error:
            broken.append(f"{place}: {error}")
        else:
            found.append(conversation)
    if not found:
        reason = broken[0] if broken else f"{path}: holds no conversation"
        raise UsageError(f"{reason}; expected a list of alpaca, sharegpt or openai objects")
    return found, broken


def rows(path: Path) -> Iterator[tuple[int, Any]]:
    """(number, value) of a JSON list, or of JSON lines."""
    unpack = {".xz": lzma.decompress, ".gz": gzip.decompress}.get(path.suffix)
    try:
        content = path.read_bytes()
        text = decoded(unpack(content) if unpack else content, str(path))
    except (OSError, lzma.LZMAError, EOFError) as error:
        raise UsageError(f"{path}: can't be read: {error}; expected .json or .jsonl, plain or as .xz or .gz") from None
    if text.lstrip().startswith("["):
        try:
            yield from enumerate(json.loads(text), 1)
        except json.JSONDecodeError as error:
            raise UsageError(f"{path}: line {error.lineno}: no JSON ({error.msg}); expected a list") from None
        return
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            try:
                yield number, json.loads(line)
            except json.JSONDecodeError as error:
                raise UsageError(f"{path}: line {number}: no JSON ({error.msg}); expected an object a line") from None


def messages_of(row: object) -> tuple[tuple[Message, ...], tuple[JsonObject, ...]]:
    """The messages and the tools of a row of any format.

    Raises:
        ValueError: it is of none.
    """
    if not isinstance(row, dict):
        raise ValueError(f"found {kind(row)}; expected an object")
    tools = tuple(parsed(row.get("tools") or [], list, "tools"))
    system = [Message("system", text(row, "system"))] if row.get("system") else []
    if "messages" in row:
        return (*system, *map(openai_message, parsed(row["messages"], list, "messages"))), tools
    if "conversations" in row:
        return (*system, *map(sharegpt_message, parsed(row["conversations"], list, "conversations"))), tools
    if "instruction" in row:
        turns = list[Message]()
        for pair in parsed(row.get("history") or [], list, "history"):
            if not (isinstance(pair, list) and len(pair) == 2 and all(isinstance(one, str) for one in pair)):
                raise ValueError(f"history: found {kind(pair)}; expected pairs of question and answer")
            turns += [Message("user", pair[0]), Message("assistant", pair[1])]
        question = "\n".join(filter(None, [text(row, "instruction"), text(row, "input")]))
        return (*system, *turns, Message("user", question), Message("assistant", text(row, "output"))), tools
    raise ValueError(f"found the keys {', '.join(row) or 'none'}; expected messages, conversations or instruction")


def openai_message(message: object) -> Message:
    if not isinstance(message, dict):
        raise ValueError(f"found {kind(message)}; expected a message with role and content")
    content = message.get("content")
    calls = [one.get("function", one) for one in message.get("tool_calls") or [] if isinstance(one, dict)]
    if isinstance(content, list):  # parts; some writers name their text `value`, and have calls among them
        parts = [(part.get("type"), part.get("text", part.get("value"))) for part in content if isinstance(part, dict)]
        content = "".join(str(value) for type_, value in parts if type_ == "text")
        calls += [parsed(value, dict, "tool_call") for type_, value in parts if type_ == "tool_call"]
    return Message(role_of(message.get("role")), text({"content": content}, "content"), tuple(map(call, calls)))


def sharegpt_message(message: object) -> Message:
    if not isinstance(message, dict):
        raise ValueError(f"found {kind(message)}; expected a message with from and value")
    content = text(message, "value")
    if message.get("from") == "function_call":
        calls = parsed(content, (dict, list), "function_call")
        return Message("assistant", "", tuple(map(call, calls if isinstance(calls, list) else [calls])))
    return Message(role_of(message.get("from")), content)


def call(found: object) -> JsonObject:
    """A tool call; its arguments as an object, which OpenAI writes as a string of JSON."""
    if not isinstance(found, dict) or not isinstance(found.get("name"), str):
        raise ValueError(f"tool call: found {kind(found)}; expected an object with name and arguments")
    return {"name": found["name"], "arguments": parsed(found.get("arguments") or {}, dict, "arguments of a tool call")}


def check(messages: tuple[Message, ...]) -> None:
    """
    Raises:
        ValueError: roles in a wrong order, an empty turn, or no answer to learn.
    """
    before = ""
    for number, message in enumerate(messages, 1):
        expected = FOLLOWS[before]
        if message.role not in expected:
            after = f"after {before}" if before else "at first"
            raise ValueError(f"turn {number}: found {message.role} {after}; expected {' or '.join(expected)}")
        if not message.content.strip() and not message.tool_calls:
            raise ValueError(f"turn {number}: found an empty {message.role} turn; expected text")
        before = "assistant with tool calls" if message.tool_calls else message.role
    if not before.startswith("assistant"):
        raise ValueError(f"found {before or 'no turn'} at the end; expected an answer of the assistant")


def role_of(name: object) -> str:
    if not isinstance(name, str) or name not in ROLES:
        raise ValueError(f"found the role {name!r}; expected one of {', '.join(ROLES)}")
    return ROLES[name]


def text(row: JsonObject, key: str) -> str:
    """Of a key that may be missing or null."""
    found = row.get(key)
    if found is not None and not isinstance(found, str):
        raise ValueError(f"{key}: found {kind(found)}; expected text")
    return found or ""


def parsed(found: object, shape: type | tuple[type, ...], name: str) -> Any:
    """A value that some files have as a string of JSON."""
    if isinstance(found, str):
        try:
            found = json.loads(found)
        except json.JSONDecodeError as error:
            raise ValueError(f"{name}: found broken JSON ({error}); expected JSON") from None
    if not isinstance(found, shape):
        expected = " or ".join(NAMES[one] for one in (shape if isinstance(shape, tuple) else (shape,)))
        raise ValueError(f"{name}: found {kind(found)}; expected {expected}")
    return found


NAMES = {dict: "an object", list: "a list", str: "a text", bool: "a truth value", int: "a number", float: "a number"}


def kind(value: object) -> str:
    return NAMES.get(type(value), "null")
