"""Chat templates in Jinja, as published models have them: run in a sandbox, with bounds.

A template is a program of somebody else's. Jinja's sandbox keeps it from Python; here it also has only the filters
and methods that templates need, its loops are counted and its texts are measured, so that none runs for ever.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from threading import Lock
from typing import Any, NoReturn

from jinja2 import TemplateError, TemplateSyntaxError, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment, SecurityError

from roadmap.io.json import JsonObject

LONGEST = 100_000  # characters of a template
ROUNDS = 100_000  # of all its loops together
TEXT = 1_000_000  # characters that it may write, and of any text on the way
FILTERS = {
    "abs", "capitalize", "count", "default", "d", "dictsort", "first", "float", "groupby", "int", "items", "join",
    "last", "length", "list", "lower", "map", "max", "min", "reject", "rejectattr", "replace", "reverse", "round",
    "safe", "select", "selectattr", "sort", "string", "sum", "title", "trim", "unique", "upper",
}  # fmt: skip
METHODS = {
    "capitalize", "count", "endswith", "find", "get", "index", "isdigit", "items", "join", "keys", "lower",
    "lstrip", "removeprefix", "removesuffix", "replace", "rstrip", "split", "splitlines", "startswith", "strip",
    "title", "upper", "values",
}  # fmt: skip
GLOBALS = ("dict", "namespace", "loop", "cycler", "joiner")


class TooLong(TemplateError):
    """A bound is exceeded."""


class Template:
    """A chat template. Thread-safe.

    Raises:
        ValueError: no valid Jinja, or too long.
    """

    def __init__(self, source: str) -> None:
        if len(source) > LONGEST:
            raise ValueError(f"chat template: found {len(source):,} characters; expected at most {LONGEST:,}")
        environment = Bounded(
            trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols, Generation], finalize=written
        )
        environment.filters = {name: environment.filters[name] for name in FILTERS}
        environment.filters |= {"tojson": tojson, "string": written, "replace": replaced, "join": joined}
        environment.filters["counted"] = self._counted
        environment.globals = {name: value for name, value in environment.globals.items() if name in GLOBALS}
        environment.globals |= {
            "range": self._range,
            "raise_exception": refuse,
            "strftime_now": lambda form: datetime.now().strftime(form),
        }
        self.source, self.rounds, self.lock = source, 0, Lock()
        try:
            self.template = environment.from_string(source)
        except TemplateSyntaxError as error:
            raise ValueError(f"chat template: line {error.lineno}: found {error.message}; expected Jinja") from None

    def prompt(
        self,
        messages: Sequence[JsonObject],
        tools: Sequence[JsonObject] = (),
        answer: bool = True,
        **special_tokens: str,
    ) -> str:
        """The text of a conversation.

        Args:
            messages: as OpenAI has them.
            answer: whether the beginning of the assistant's answer is added.
            special_tokens: `bos_token`, `eos_token`, where the template names them.

        Raises:
            ValueError: the template refuses these messages, fails, or exceeds a bound.
        """
        fields = {"messages": list(messages), "tools": list(tools) or None, "add_generation_prompt": answer}
        pieces, length = list[str](), 0
        with self.lock:
            self.rounds = 0
            try:
                for piece in self.template.generate(**fields, **special_tokens):
                    pieces.append(piece)
                    length += len(piece)
                    measured(length)
            except (TemplateError, TypeError, ValueError, ArithmeticError, LookupError, RecursionError) as error:
                raise ValueError(f"chat template: {error}") from None
        return "".join(pieces)

    def _range(self, *bounds: int) -> range:
        found = range(*bounds)
        self._count(len(found))
        return found

    def _count(self, rounds: int) -> None:
        self.rounds += rounds
        if self.rounds > ROUNDS:
            raise TooLong(f"its loops ran over {ROUNDS:,} rounds")

    def _counted(self, values: Iterable[Any]) -> Iterator[Any]:
        for value in values:
            self._count(1)
            yield value


class Bounded(ImmutableSandboxedEnvironment):
    """Every loop runs over `counted` values; texts grow within bounds."""

    intercepted_binops = frozenset(["+", "*", "**", "%"])

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree = super()._parse(source, name, filename)
        for loop in tree.find_all(nodes.For):
            loop.iter = nodes.Filter(loop.iter, "counted", [], [], None, None, lineno=loop.lineno)
        for joint in list(tree.find_all(nodes.Concat)):  # a ~ b, which is not intercepted
            joint.nodes = [nodes.Filter(nodes.List(joint.nodes), "join", [], [], None, None, lineno=joint.lineno)]
        return tree

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """An operation whose result is measured first."""
        a, b = size(left), size(right)
        if operator == "**" or (operator == "%" and isinstance(left, str)):
            raise SecurityError(f"found the operator {operator}; expected one that templates need")
        if operator == "+":
            measured(a + b)
        elif operator == "*":
            measured(a * b)
        return super().call_binop(context, operator, left, right)

    def wrap_str_format(self, value: Any) -> Any:
        """Not str.format: its widths make texts of any length."""
        if getattr(value, "__name__", "") in ("format", "format_map") and isinstance(value.__self__, str):
            raise SecurityError("found the method format; expected ~ between texts")
        return None

    def call(self, context: Any, obj: Any, *args: Any, **options: Any) -> Any:
        """A call of a macro, a global, or one of METHODS."""
        of, name = getattr(obj, "__self__", None), getattr(obj, "__name__", "")
        if isinstance(of, str | list | tuple | dict | int | float):
            if name not in METHODS:
                raise SecurityError(f"found the method {name}; expected one of {', '.join(sorted(METHODS))}")
            if name == "replace":
                return replaced(of, *args)
            if name == "join":
                return joined(args[0], of)
        return super().call(context, obj, *args, **options)


def size(value: Any) -> int:
    """Of a text or a list its length; of a number itself, since texts are multiplied by it."""
    if isinstance(value, str | list | tuple | dict):
        return len(value)
    return abs(int(value)) if isinstance(value, int | float) and abs(value) < TEXT**2 else TEXT**2


def measured(length: int) -> None:
    if length > TEXT:
        raise TooLong(f"makes more than {TEXT:,} characters")


def written(value: Any) -> str:
    """str(value), measured first: a list may hold another twice, and that one a third."""
    left = TEXT
    inside = [value]
    while inside:
        part = inside.pop()
        left -= len(part) if isinstance(part, str) else 1
        if left < 0:
            measured(TEXT + 1)
        if isinstance(part, dict):
            inside += [*part, *part.values()]
        elif isinstance(part, list | tuple):
            inside += part
    return str(value)


def replaced(text: Any, old: str, new: str, count: int = -1) -> str:
    """str.replace, measured first."""
    found = written(text)
    measured(len(found) + max(0, len(new) - len(old)) * found.count(old))
    return found.replace(old, new, -1 if count is None else count)


def joined(values: Iterable[Any], d: Any = "", attribute: str | None = None) -> str:
    """str.join, measured first."""
    parts = [written(value[attribute] if attribute else value) for value in values]
    measured(sum(map(len, parts)) + len(str(d)) * len(parts))
    return str(d).join(parts)


class Generation(Extension):
    """{% generation %}: marks an assistant's words for training; here it is their text."""

    tags = {"generation"}  # noqa: RUF012

    def parse(self, parser: Any) -> Any:
        """The block's content."""
        line = next(parser.stream).lineno
        return nodes.Scope(parser.parse_statements(("name:endgeneration",), drop_needle=True), lineno=line)


def tojson(value: Any, ensure_ascii: bool = False, indent: int | None = None, **_: Any) -> str:
    """Plain JSON: Jinja's own filter escapes what HTML can't have."""
    written(value)
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=min(indent, 8) if indent else None)


def refuse(message: str) -> NoReturn:
    """`raise_exception` of templates."""
    raise TemplateError(message)
