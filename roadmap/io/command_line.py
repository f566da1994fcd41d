"""The command line of all programs but the stages (Hydra) and the server (its settings).

    python -m infra.deploy plan target=lambda project=mnist
                           ^verb ^options: the fields of a pydantic model

Options use Hydra's override syntax, so that all commands share one. The model defines types, defaults and the text
of --help; required options come first.
"""

import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo

from roadmap.io.errors import USAGE, CommandError, UsageError, nearest, of_file
from roadmap.io.json import JsonObject

INTERRUPTED = 130  # what a shell reports after Ctrl-C


class Options(BaseModel):
    """Base of a command's options. A `list[str]` field collects repeated options."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class OpenOptions(Options):
    """Accepts options of any other name too: `model_extra` has them as strings."""

    model_config = ConfigDict(extra="allow", frozen=True)


O = TypeVar("O", bound=Options)  # noqa: E741


def positional(description: str, **field: Any) -> Any:
    """A positional argument."""
    return Field(description=description, json_schema_extra={"positional": True}, **field)


def run(commands: dict[str, tuple[type[O], Callable[[O], int | None]]], about: str | None, argv: Sequence[str]) -> int:
    """Runs the command named in `argv` and returns the exit code.

    Args:
        commands: verb -> its options and its function. "" is the default verb.
        about: the module's docstring, shown by --help.

    A `CommandError` becomes one line on standard error and its exit code.
    """
    verb, arguments = (argv[0], argv[1:]) if argv and argv[0] in commands else ("", argv)
    if {"-h", "--help"} & set(argv):
        print(usage(commands, about))
        return 0
    try:
        if verb not in commands:
            found = (
                f"found {argv[0]!r}; {nearest(argv[0], commands)}" if argv else f"missing; one of {', '.join(commands)}"
            )
            raise UsageError(f"command: {found}; see --help")
        options, main = commands[verb]
        return main(parse(options, arguments)) or 0
    except CommandError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.code
    except OSError as error:
        if error.filename is None:  # of the network
            raise
        print(f"error: {of_file(error)}", file=sys.stderr)
        return USAGE
    except KeyboardInterrupt:
        print("error: interrupted", file=sys.stderr)
        return INTERRUPTED


def parse(options: type[O], arguments: Sequence[str]) -> O:
    """
    Raises:
        UsageError: with the wrong argument and what is allowed.
    """
    fields = options.model_fields
    places = [name for name, field in fields.items() if _positional(field)]
    named = [name for name in fields if name not in places]
    found: JsonObject = {}
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if places and (not equals or name not in named) and not (equals and _open(options)):
            name, value = places[0], argument
            if not _many(fields[name]):
                places.pop(0)
        elif not equals:
            raise UsageError(f"{argument!r}: found no '='; expected name=value; see --help")
        elif name not in named and not _open(options):
            raise UsageError(f"{name}: unknown option; {nearest(name, named)}")
        if name in fields and _many(fields[name]):
            found.setdefault(name, []).append(value)
        elif value:  # an empty value counts as absent, so that scripts can pass on unset variables
            found[name] = value
    try:
        return options.model_validate(found)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]) if first["loc"] else "options"
        if first["type"] == "missing":
            raise UsageError(f"{name}: missing; expected {name}=... ({fields[name].description}); see --help") from None
        message = first["msg"].removeprefix("Value error, ").replace("Input should be", "expected")
        raise UsageError(f"{name}: found {found.get(name)!r}; {message}; see --help") from None


def usage(commands: dict[str, tuple[type[O], Callable[[O], int | None]]], about: str | None) -> str:
    """The text of --help: the module's docstring and the options of each command."""
    lines = [(about or "").strip()]
    groups: dict[type[Options], list[str]] = {}
    for verb, (options, _) in commands.items():
        groups.setdefault(options, []).append(verb)
    for kind, verbs in groups.items():
        rows = [
            _row(name, field) for name, field in sorted(kind.model_fields.items(), key=lambda f: not f[1].is_required())
        ]
        if rows:
            lines += ["", f"{' | '.join(verbs) or 'options'}:", *rows]
    return "\n".join(lines)


def _row(name: str, field: FieldInfo) -> str:
    default = (
        "" if field.is_required() or field.default in (None, "") or field.default_factory else f" ({field.default})"
    )
    shown = f"<{name}>" if _positional(field) else f"{name}="
    return f"  {shown:<14} {field.description or ''}{default.lower() if isinstance(field.default, bool) else default}"


def _positional(field: FieldInfo) -> bool:
    return isinstance(field.json_schema_extra, dict) and bool(field.json_schema_extra.get("positional"))


def _many(field: FieldInfo) -> bool:
    return field.annotation in (list[str], tuple[str, ...])


def _open(options: type[Options]) -> bool:
    return options.model_config.get("extra") == "allow"


__all__ = ["USAGE", "OpenOptions", "Options", "parse", "positional", "run", "usage"]
