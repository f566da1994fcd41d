"""Commands: verbs, options and positional arguments, and one helpful line for every error."""

from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import Field

from roadmap.io import command_line
from roadmap.io.command_line import OpenOptions, Options, parse, positional
from roadmap.io.errors import Unavailable, UsageError


class Deploy(Options):
    project: str = Field(description="whose champion")
    days: int = Field(60, gt=0, description="how far back")
    force: bool = Field(False, description="true: whatever is there")


class Fetch(Options):
    source: str = positional("where from")
    folder: Path = positional("where to")
    projects: list[str] = positional("which", default=[])


class Trigger(OpenOptions):
    dag: str = positional("which")
    overrides: list[str] = Field(default=[], description="of params.yaml")


def test_options_have_types_and_defaults() -> None:
    assert parse(Deploy, ["project=a", "force=true"]) == Deploy(project="a", days=60, force=True)
    assert parse(Deploy, ["project=a=b", "days="]).model_dump() == {"project": "a=b", "days": 60, "force": False}


def test_positional_arguments() -> None:
    found = parse(Fetch, ["s3://bucket/a=b", "to", "mnist=12", "imdb"])
    assert (found.source, found.folder, found.projects) == ("s3://bucket/a=b", Path("to"), ["mnist=12", "imdb"])


def test_open_and_repeated_options() -> None:
    found = parse(Trigger, ["mnist", "profile=full", "overrides=a=1", "overrides=b=2"])
    assert (found.dag, found.overrides, found.model_extra) == ("mnist", ["a=1", "b=2"], {"profile": "full"})


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["projct=a"], "projct: unknown option; did you mean 'project'? allowed: days, force, project"),
        (["a"], "'a': found no '='; expected name=value; see --help"),
        ([], "project: missing; expected project=... (whose champion); see --help"),
        (["project=a", "days=x"], "days: found 'x'; expected a valid integer"),
        (["project=a", "days=0"], "days: found '0'; expected greater than 0"),
    ],
)
def test_an_invalid_command_line_is_one_line(words: list[str], message: str) -> None:
    with pytest.raises(UsageError) as error:
        parse(Deploy, words)
    assert str(error.value).startswith(message) and "\n" not in str(error.value)


def test_run_gives_exit_codes_and_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    def plan(options: Deploy) -> int | None:
        if options.project == "down":
            raise Unavailable("the store does not answer")
        if options.project == "stop":
            raise KeyboardInterrupt
        return 3 if options.force else None

    commands: dict[str, tuple[type[Deploy], Callable[[Deploy], int | None]]] = {"plan": (Deploy, plan)}
    run = lambda *words: command_line.run(commands, "About.", words)  # noqa: E731
    assert run("plan", "project=a") == 0
    assert run("plan", "project=a", "force=true") == 3
    assert run("plan", "project=down") == 75
    assert capsys.readouterr().err == "error: the store does not answer\n"
    assert run("plan", "project=stop") == 130
    assert run("paln") == 2
    assert "did you mean 'plan'?" in capsys.readouterr().err
    assert run() == 2
    assert run("--help") == 0
    shown = capsys.readouterr().out
    assert shown.startswith("About.\n\nplan:\n  project=       whose champion\n  days=          how far back (60)\n")
