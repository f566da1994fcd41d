"""Prints a table of all projects: scores, baselines, training times. `write=true` updates the tables in the docs."""

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import Field

from roadmap.bundle import read_manifest
from roadmap.config.params import projects
from roadmap.evaluation.results import Decision, read_metrics
from roadmap.io import command_line
from roadmap.io.documents import read_json
from roadmap.io.errors import UsageError

COLUMNS = (
    "project", "data", "headline", "95% interval", "best baseline", "train", "one request", "champion", "trained"
)  # fmt: skip
READMES = (Path("README.md"), Path("README.zh-CN.md"))
PAGES = (Path("docs/en/benchmarks.md"), Path("docs/zh/benchmarks.md"))

Row = tuple[str, ...]


def rows(artifacts: Path) -> dict[str, list[Row]]:
    """Profile -> rows in the order of params.yaml."""
    found: dict[str, list[Row]] = {}
    for project in projects():
        folder = artifacts / project
        if (folder / "metrics.json").exists():
            metrics = read_metrics(folder)
            found.setdefault(metrics["profile"], []).append(_row(project, folder, metrics))
    return found


def _row(project: str, folder: Path, metrics: dict[str, Any]) -> Row:
    headline = metrics["headline"]
    best = max if headline["higher_is_better"] else min
    name, baseline = best(metrics["baselines"].items(), key=lambda item: item[1]["test"], default=("none", None))
    return (
        project,
        f"{metrics['source']} ({metrics['profile']})",
        f"{headline['name']} {headline['value']:.4f}",
        f"{headline['ci95_low']:.4f} to {headline['ci95_high']:.4f}",
        f"{name} {baseline['test']:.4f}" if baseline else "none",
        f"{metrics['seconds']['train']:.1f} s",
        f"{metrics['latency']['batch_1']['p50_ms']:.2f} ms",
        _champion(folder / "decision.json"),
        read_manifest(folder / "bundle").created[:10],
    )


def _champion(path: Path) -> str:
    if not path.exists():
        return "not registered"
    decision = read_json(path, Decision, f"run `dvc repro register@{path.parent.name}`")
    return "promoted" if decision["promoted"] else "refused"


def line(cells: Row) -> str:
    return f"| {' | '.join(cells)} |\n"


def markdown(table: list[Row]) -> str:
    return "".join(map(line, (COLUMNS, ("---",) * len(COLUMNS), *table)))


def short(row: Row, old: Row | None) -> Row:
    """A row of the READMEs. The description of a new project is the title of its README, until edited or translated."""
    project, _, headline, interval, baseline, *_, trained = row
    title = Path("pipelines", project, "README.md").read_text().partition("\n")[0]
    does = old[1] if old else title.partition(": ")[2]
    return f"[{project}](pipelines/{project}/README.md)", does, f"{headline} ({interval})", baseline, trained


def renew(text: str, name: str, table: list[Row], merge: Callable[[Row, Row | None], Row] = lambda row, _: row) -> str:
    """`text` with updated rows in its table `name`; the header and the rows of other projects stay.

    Args:
        of: a row, and the project's present row in the table -> the new row of the table

    Raises:
        ValueError: the table is missing.
    """
    block = re.search(rf"<!-- figures: {name} -->\n((?:\|.*\n)*)", text)
    if block is None:
        raise ValueError(f"no line '<!-- figures: {name} -->'")
    header, lines = block[1].splitlines(keepends=True)[:2], block[1].splitlines()[2:]
    old = {_project(row): row for row in (tuple(cell.strip() for cell in one.strip("|").split("|")) for one in lines)}
    new = old | {row[0]: merge(row, old.get(row[0])) for row in table}
    body = "".join([*header, *(line(new[project]) for project in projects() if project in new)])
    return text[: block.start(1)] + body + text[block.end(1) :]


def _project(row: Row) -> str:
    """The project of a first cell, which may be a link."""
    return re.sub(r"\[(.*?)\].*", r"\1", row[0])


def write(tables: dict[str, list[Row]]) -> None:
    """Updates all tables of the docs."""
    for path in PAGES:
        text = path.read_text()
        for profile, table in tables.items():
            text = renew(text, profile, table)
        path.write_text(text)
    for path in READMES if "sample" in tables else ():
        path.write_text(renew(path.read_text(), "projects", tables["sample"], short))


class Options(command_line.Options):
    artifacts: Path = Field(Path("artifacts"), description="folder of the projects' outputs")
    markdown: bool = Field(False, description="true: a Markdown table instead of one for the terminal")
    write: bool = Field(False, description="true: update the tables in the docs")


def run(options: Options) -> None:
    tables = rows(options.artifacts)
    if not tables:
        found = f"{options.artifacts}/*/metrics.json: found none"
        raise UsageError(f"{found}; run `make run` or `dvc repro`")
    if options.write:
        write(tables)
        print(f"updated: {', '.join(row[0] for table in tables.values() for row in table)}")
    elif options.markdown:
        print(markdown([row for table in tables.values() for row in table]), end="")
    else:
        show([row for table in tables.values() for row in table])


def show(table: list[Row]) -> None:
    from rich.console import Console
    from rich.table import Table

    view = Table(*COLUMNS, title="The roadmap so far")
    for row in table:
        view.add_row(*row)
    Console(width=None if sys.stdout.isatty() else 180).print(view)


def main(argv: list[str]) -> int:
    return command_line.run({"": (Options, run)}, __doc__, argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
