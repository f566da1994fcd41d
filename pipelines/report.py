"""Stage 2, report: data/<project>/ -> artifacts/<project>/report/index.html, one page that shows the data."""

import importlib
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

from roadmap.config.errors import UsageError, nearest
from roadmap.config.schema import Run
from roadmap.config.stage import stage
from roadmap.data import splits

Sections = Callable[[Path, dict[str, Any]], list[Any]]

MODULES = {
    "regression": "roadmap.reporting.tasks.table",
    "binary": "roadmap.reporting.tasks.table",
    "images": "roadmap.reporting.tasks.images",
    "text": "roadmap.reporting.tasks.text",
    "corpus": "roadmap.reporting.tasks.corpus",
    "series": "roadmap.reporting.tasks.series",
}


def sections_of(project: str, card: dict[str, Any]) -> Sections:
    """`sections(folder, card)` of pipelines/<project>/report.py if the project has one, else that of its task."""
    module = f"pipelines.{project}.report"
    if importlib.util.find_spec(module) is None:
        task = card["schema"].get("task")
        if task not in MODULES:
            raise UsageError(
                f"data/{project}/card.json: schema.task: found {task!r}; {nearest(str(task), list(MODULES))}; "
                f"another task needs pipelines/{project}/report.py"
            )
        module = MODULES[task]
    return importlib.import_module(module).sections


@stage
def main(run: Run) -> None:
    card = splits.read_card(run.data)
    sections = sections_of(run.name, card)
    from roadmap.reporting import page

    with splits.replacing(run.artifacts / "report") as draft:
        size = page.write(draft / "index.html", run.name, card, lambda: sections(run.data, card))
    print(f"{run.artifacts / 'report' / 'index.html'}: {size / 1000:,.0f} kB")


if __name__ == "__main__":
    main()
