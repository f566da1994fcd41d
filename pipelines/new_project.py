"""A new project, written as a copy of another one: folder, network, and block of params.yaml.

    make project name=churn like=titanic

It runs as it is, and the tests that walk params.yaml pass for it; then edit it. docs/en/add-a-project.md says what each
file is for.
"""

import keyword
import re
import shutil
import sys
from pathlib import Path

from pydantic import Field

from roadmap.config.params import PARAMS, params, projects
from roadmap.io import command_line
from roadmap.io.atomic import write_atomically
from roadmap.io.errors import UsageError, nearest

NAME = re.compile(r"[a-z][a-z0-9_]*")
BEFORE = (  # what stands before a project's name where it is meant; elsewhere the word may be a data set's
    "pipelines.", "pipelines/", "models.", "models/", "projects.", "artifacts/", "@", "project=", "data/", "# ",
    "pipelines import ", "models import ",
)  # fmt: skip


class Options(command_line.Options):
    name: str = Field(description="of the new project: lower-case letters, digits and _")
    like: str = Field(description="the project to copy")


def run(options: Options) -> None:
    name, like = options.name, options.like
    if like not in projects():
        raise UsageError(f"like: found {like!r}; {nearest(like, projects())}")
    if not NAME.fullmatch(name) or keyword.iskeyword(name):
        raise UsageError(f"name: found {name!r}; expected a module's name: lower-case letters, digits and _")
    places = copies(name, like)
    if taken := [str(place) for place in places.values() if place.exists()] or [name] * (name in projects()):
        raise UsageError(f"name: found {', '.join(taken)} already; choose another name")
    text = PARAMS.read_text()
    block = block_of(text, like)
    for source, target in places.items():
        copy(source, target, name, like)
    added = renamed(block, name, like).replace(f"  {like}:", f"  {name}:", 1)
    write_atomically(PARAMS, text.replace(block, f"{block.rstrip()}\n\n{added}", 1))
    print(f"{name}: {', '.join(map(str, places.values()))}, and a block in {PARAMS}")
    print(f"Next: dvc repro register@{name} report@{name}; then edit pipelines/{name}, starting with data/")


def copies(name: str, like: str) -> dict[Path, Path]:
    """What is copied, and to where. A network that is not named as its project belongs to several, and is shared."""
    network = Path(params()["projects"][like]["network"])
    found = {Path("pipelines", like): Path("pipelines", name)}
    if network.stem == like:
        found[network] = network.with_name(f"{name}{network.suffix}")
    return found


def block_of(text: str, project: str) -> str:
    """The lines of a project in params.yaml, comments too.

    Raises:
        UsageError: it is not written as a block of lines.
    """
    match = re.search(rf"^  {project}:\n(?:(?:    .*)?\n)*", text, re.MULTILINE)
    if match is None:
        raise UsageError(f"{PARAMS}: found no block of lines '  {project}:'; expected one to copy")
    return match[0]


def copy(source: Path, target: Path, name: str, like: str) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copyfile(source, target)
    for file in [target] if target.is_file() else sorted(target.rglob("*")):
        if file.suffix in (".py", ".md", ".yaml"):
            file.write_text(renamed(file.read_text(), name, like))


def renamed(text: str, name: str, like: str) -> str:
    before = "|".join(f"(?<={re.escape(word)})" for word in BEFORE)
    return re.sub(rf"(?:{before}){like}\b", name, text)


def main(argv: list[str]) -> int:
    return command_line.run({"": (Options, run)}, __doc__, argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
