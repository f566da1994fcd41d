"""Stage 2, report: data/<project>/ -> artifacts/<project>/report/index.html, the data report."""

import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from roadmap.config.schema import Run
from roadmap.config.stage import stage
from roadmap.data import splits
from roadmap.io.atomic import atomic_folder
from roadmap.io.errors import UsageError, nearest
from roadmap.io.json import JsonObject
from roadmap.project import load_project

if TYPE_CHECKING:
    from roadmap.reporting.page import Section

TASKS = {
    "regression": "roadmap.reporting.tasks.table",
    "binary": "roadmap.reporting.tasks.table",
    "images": "roadmap.reporting.tasks.images",
    "text": "roadmap.reporting.tasks.text",
    "corpus": "roadmap.reporting.tasks.corpus",
    "series": "roadmap.reporting.tasks.series",
}


def sections_of_task(folder: Path, card: JsonObject) -> "Sequence[Section]":
    """The sections for the task in the schema; none if it names no task.

    Raises:
        UsageError: the task has no sections.
    """
    task = card["schema"].get("task")
    if task is None:
        return []
    if task not in TASKS:
        raise UsageError(
            f"{folder}/card.json: schema.task: found {task!r}; {nearest(str(task), list(TASKS))}; "
            f"another task needs pipelines/{folder.name}/report.py"
        )
    sections: Callable[[Path, JsonObject], Sequence[Section]] = importlib.import_module(TASKS[task]).sections
    return sections(folder, card)


@stage
def main(run: Run) -> None:
    card = splits.read_card(run.data)
    report = load_project(run.name).report
    from roadmap.reporting import page

    def sections() -> "Sequence[Section]":
        own = report.sections(run.data, card)
        return sections_of_task(run.data, card) if own is None else own

    with atomic_folder(run.artifacts / "report") as draft:
        size = page.write(draft / "index.html", run.name, card, sections)
    print(f"{run.artifacts / 'report' / 'index.html'}: {size / 1000:,.0f} kB")


if __name__ == "__main__":
    main()
