"""Calls of tools in a model's text: read piece by piece, and the grammar of texts that are calls."""

import json
from collections.abc import Collection
from typing import NamedTuple, NoReturn

from roadmap.bundle import CallFormat
from roadmap.inference.language.grammars import json_of
from roadmap.io.json import JsonObject


class Call(NamedTuple):
    """A call of a tool; its arguments are a JSON object, as text."""

    name: str
    arguments: str


class CallReader:
    """Splits a text into content and calls.

    What is no whole call stays content: broken JSON, arguments that are no object, a tool that nobody offered.

    Args:
        names: of the tools that may be called.
        most: calls; more are left out. None: any number.
    """

    def __init__(self, form: CallFormat, names: Collection[str], most: int | None = None) -> None:
        self.form, self.names, self.most = form, names, most
        self.held = ""
        self.calls = 0

    def read(self, piece: str) -> list[str | Call]:
        """What is certain after one more piece: texts and whole calls."""
        self.held += piece
        return self._take()

    def close(self) -> list[str | Call]:
        """The rest, after the last piece."""
        found = list[str | Call]()
        while self.held:
            found += self._take()
            begin = self.held.find(self.form.begin)
            if begin < 0:  # nothing but the beginning of a mark, or blanks
                rest, self.held = self.held, ""
                found += [rest] if rest.strip() or not self.calls else []
            else:
                found += self._whole(closing=True) or [self._cut(begin + len(self.form.begin))]
        return found

    def _take(self) -> list[str | Call]:
        found = list[str | Call]()
        while self.held:
            before, mark, _ = self.held.partition(self.form.begin)
            if not mark:
                found += self._content()
                break
            if before.strip():
                found.append(self._cut(len(before.rstrip())))
            whole = self._whole(closing=False)
            if whole is None:
                break
            found += whole
        return found

    def _content(self) -> list[str | Call]:
        """Without blanks at the end, and what may be the beginning of a mark: a call may follow."""
        begin = self.form.begin
        lengths = range(min(len(begin) - 1, len(self.held)), 0, -1)
        kept = next((n for n in lengths if self.held.endswith(begin[:n])), 0)
        sure = self.held[: len(self.held) - kept].rstrip()
        return [self._cut(len(sure))] if sure else []

    def _cut(self, length: int) -> str:
        text, self.held = self.held[:length], self.held[length:]
        return text

    def _whole(self, closing: bool) -> list[str | Call] | None:
        """The call that what is held begins with; None: there is none, or not yet."""
        held, form = self.held, self.form
        start = held.index(form.begin) + len(form.begin)
        start += len(held[start:]) - len(held[start:].lstrip())
        try:
            value, end = DECODER.raw_decode(held, start)
        except (ValueError, RecursionError):
            return None
        rest = held[end:].lstrip()
        if not closing and not rest.startswith(form.end) and form.end.startswith(rest):
            return None  # its end mark is on the way
        if rest.startswith(form.end):
            end = len(held) - len(rest) + len(form.end)
        call = self._call(value)
        text = self._cut(end)
        if call is None:
            return [text]
        self.calls += 1
        return [call] if self.most is None or self.calls <= self.most else []

    def _call(self, value: object) -> Call | None:
        if not isinstance(value, dict):
            return None
        name, arguments = value.get(self.form.name), value.get(self.form.arguments, {})
        if not (isinstance(name, str) and name in self.names and isinstance(arguments, dict)):
            return None
        try:
            return Call(name, json.dumps(arguments, ensure_ascii=False, allow_nan=False))
        except (ValueError, RecursionError):  # a number beyond floats
            return None


def refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


DECODER = json.JSONDecoder(parse_constant=refuse)


def calls_grammar(form: CallFormat, tools: dict[str, JsonObject], several: bool) -> str:
    """The rules `calls` and below, in Lark: one call of one of these tools, or several.

    tools: name -> the JSON schema of its arguments
    """
    rules = [
        'calls: call ("\\n" call)*' if several else "calls: call",
        f"call: {quoted(form.begin + NEWLINE)} ({' | '.join(f'tool_{i}' for i in range(len(tools)))})"
        + (f" {quoted(NEWLINE + form.end)}" if form.end else ""),
    ]
    for number, (name, schema) in enumerate(tools.items()):
        head = f"{{{quoted(form.name)}: {quoted(name)}, {quoted(form.arguments)}: "
        rules.append(f'tool_{number}: {quoted(head)} {json_of(schema)} "}}"')
    return "\n".join(rules)


NEWLINE = "\n"


def quoted(text: str) -> str:
    """A text as Lark's string, which has JSON's escapes."""
    return json.dumps(text, ensure_ascii=False)
