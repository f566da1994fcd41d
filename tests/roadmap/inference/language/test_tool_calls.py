"""Calls of tools in a text: found however it is cut into pieces; what is no call stays text."""

import json
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roadmap.bundle import CallFormat
from roadmap.inference.language.tool_calls import Call, CallReader

HERMES = CallFormat()
LLAMA = CallFormat("<|python_tag|>", "", "name", "parameters")
LOOK = '<tool_call>\n{"name": "look", "arguments": {"text": "a </tool_call> \\"b\\" }"}}\n</tool_call>'
CALLED = Call("look", '{"text": "a </tool_call> \\"b\\" }"}')
BROKEN = '<tool_call>\n{"name": "look", "arguments": {"text": }}\n</tool_call>'
TEXTS = [
    ("Hello <b> {}", ["Hello <b> {}"]),
    (LOOK, [CALLED]),
    (f"  Let me see.\n{LOOK}\n{LOOK}\n", ["  Let me see.", CALLED, CALLED]),
    (f"{LOOK} Done.", [CALLED, " Done."]),
    (BROKEN, [BROKEN]),
    (f"{BROKEN}\n{LOOK}", [BROKEN, CALLED]),
    (LOOK[:40], [LOOK[:40]]),
    (LOOK.removesuffix("</tool_call>"), [CALLED]),
    ('<tool_call>{"name": "other", "arguments": {}}</tool_call>', None),
    ('<tool_call>{"name": "look", "arguments": [1]}</tool_call>', None),
    ('<tool_call>{"name": "look", "arguments": {"a": NaN}}</tool_call>', None),
    ('<tool_call>{"name": "look", "arguments": {"a": 1e999}}</tool_call>', None),
    ("<tool_call>" + "[" * 2000, None),
    ("<tool_call>" + '{"a":' * 2000, None),
    ('<tool_call>{"name": "look"}</tool_call>', [Call("look", "{}")]),
    ("<tool_", ["<tool_"]),
    (" \n", [" \n"]),
    ("", []),
]  # fmt: skip


def read(text: str, cuts: list[int], form: CallFormat = HERMES, most: int | None = None) -> list[str | Call]:
    """Neighbouring texts joined."""
    reader, found = CallReader(form, ["look"], most), list[str | Call]()
    places = [0, *sorted(cut % (len(text) + 1) for cut in cuts), len(text)]
    pieces = [text[start:end] for start, end in pairwise(places)]
    for part in [part for piece in pieces for part in reader.read(piece)] + reader.close():
        if isinstance(part, str) and found and isinstance(found[-1], str):
            found[-1] += part
        else:
            found.append(part)
    return found


@pytest.mark.parametrize(("text", "expected"), TEXTS, ids=lambda one: str(one)[:30])
@settings(max_examples=10, deadline=None)
@given(cuts=st.lists(st.integers(0, 500), max_size=12))
def test_calls_are_found_however_the_text_is_cut(text: str, expected: list[str | Call] | None, cuts: list[int]) -> None:
    assert read(text, cuts) == (expected or [text])[: len(text)]


@given(
    text=st.lists(
        st.sampled_from(["<tool_call>", "</tool_call>", '{"name": "look", ', '"arguments": {}}', " ", "a"])
    ).map("".join)
)
def test_no_word_is_lost(text: str) -> None:
    whole = read(text, [])
    assert read(text, list(range(len(text)))) == whole
    if not any(isinstance(part, Call) for part in whole):
        assert "".join(map(str, whole)) == text


def test_of_parallel_calls_the_first_is_kept() -> None:
    assert read(f"{LOOK}\n{LOOK}", [], most=1) == [CALLED]


def test_another_format_has_other_marks_and_keys() -> None:
    call = {"name": "look", "parameters": {"a": [1, "你"]}}
    text = f"<|python_tag|>{json.dumps(call, ensure_ascii=False)}"
    for cuts in ([], list(range(len(text)))):
        assert read(text, cuts, LLAMA) == [Call("look", '{"a": [1, "你"]}')]
