"""Compares a training with a Git revision: `python -m pipelines.compare project=mnist [base=origin/main]`.

Compares a project's results in the working tree with those of `base`, which DVC gets from its cache or remote by the
dvc.lock of that revision, and writes to artifacts/comparison/

    <project>.md     tables, the gate's decision and a chart, for a pull request comment
    <project>.html   the plots of both side by side

In a GitHub workflow the first is also the job summary, and the step's output `promoted` is the gate's decision.
"""

import base64
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from html import escape
from pathlib import Path

import yaml
from pydantic import Field

from roadmap.config.params import flat, known_project
from roadmap.evaluation.results import Decision, Metrics
from roadmap.experiments.trainings import Training, markdown
from roadmap.io import command_line
from roadmap.io.documents import parse_json
from roadmap.io.errors import UsageError
from roadmap.io.json import JsonObject

FOLDER = Path("artifacts/comparison")
STYLE = """body {font: 16px/1.5 system-ui; margin: 2rem} div {display: flex; gap: 2rem} img {max-width: 100%}
figure {flex: 1; margin: 0; min-width: 0} figcaption {color: #666}"""

Read = Callable[[str], bytes | None]


def here(path: str) -> bytes | None:
    return Path(path).read_bytes() if Path(path).is_file() else None


def revision(name: str) -> Read:
    """Reads files of another revision, tracked by Git or DVC.

    Raises:
        UsageError: no such revision.
    """
    from dvc.api import DVCFileSystem
    from dvc.exceptions import DvcException

    known = subprocess.run(
        ["git", "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}"], stdout=subprocess.DEVNULL
    )
    if known.returncode:
        raise UsageError(f"base: found {name!r}; expected a branch, tag or commit of this clone")
    files = DVCFileSystem(rev=name)

    def read(path: str) -> bytes | None:
        try:
            return bytes(files.read_bytes(path))
        except (FileNotFoundError, DvcException):  # absent in the revision, or in neither cache nor remote
            return None

    return read


def training(name: str, project: str, read: Read) -> Training:
    values = yaml.safe_load(read("params.yaml") or b"{}")
    block = (values.get("projects") or {}).get(project) or {}
    params = flat({"profile": values.get("profile"), "seed": values.get("seed"), **block})

    def document(file: str, shape: type[Mapping[str, object]], stage: str) -> JsonObject | None:
        path = f"artifacts/{project}/{file}.json"
        content = read(path)
        where = path if read is here else f"{name}:{path}"
        return None if content is None else parse_json(content, where, shape, f"run `dvc repro {stage}@{project}`")

    return Training(
        name,
        params,
        document("metrics", Metrics, "evaluate"),
        read(f"artifacts/{project}/history.csv"),
        document("decision", Decision, "register"),
    )


def page(title: str, sides: dict[str, Read], plots: list[Path]) -> str:
    """The plots of both sides, as one self-contained page."""
    rows = (
        f"<h2>{escape(path.stem.replace('_', ' '))}</h2><div>"
        + "".join(picture(name, read(path.as_posix())) for name, read in sides.items())
        + "</div>"
        for path in plots
    )
    head = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title><style>{STYLE}</style>'
    return f"{head}<h1>{escape(title)}</h1>{''.join(rows)}</html>\n"


def picture(caption: str, content: bytes | None) -> str:
    caption = escape(caption)
    if content is None:
        return f"<figure><figcaption>{caption}: none</figcaption></figure>"
    source = f"data:image/png;base64,{base64.b64encode(content).decode()}"
    return f'<figure><figcaption>{caption}</figcaption><img src="{source}" alt="{caption}"></figure>'


def compare(project: str, base: str) -> list[Path]:
    """Writes both files.

    Raises:
        UsageError: unknown project or revision, or the project has not been evaluated here.
    """
    known_project(project)
    sides = {base: revision(base), "this run": here}
    old, new = (training(name, project, read) for name, read in sides.items())
    if new.metrics is None:
        raise UsageError(f"artifacts/{project}/metrics.json: missing; run `dvc repro evaluate@{project}`")
    plots = sorted(Path("artifacts", project, "plots").glob("*.png"))
    texts = {"md": markdown(project, old, new), "html": page(f"{project}: {base} and this run", sides, plots)}
    FOLDER.mkdir(parents=True, exist_ok=True)
    for suffix, text in texts.items():
        (FOLDER / f"{project}.{suffix}").write_text(text)
    promoted = bool(new.decision and new.decision["promoted"])
    for variable, text in (
        ("GITHUB_STEP_SUMMARY", texts["md"]),
        ("GITHUB_OUTPUT", f"promoted={str(promoted).lower()}\n"),
    ):
        if file := os.environ.get(variable):
            with Path(file).open("a") as there:
                there.write(text)
    return [FOLDER / f"{project}.{suffix}" for suffix in texts]


class Options(command_line.Options):
    project: str = Field(description="which training")
    base: str = Field("origin/main", description="the Git revision to compare with")


def run(options: Options) -> None:
    print("\n".join(map(str, compare(options.project, options.base))))


def main(argv: list[str]) -> int:
    return command_line.run({"": (Options, run)}, __doc__, argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
