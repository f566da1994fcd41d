"""Stage 2, report: data/<project>/ -> artifacts/<project>/report/index.html, one page that shows the data."""

import importlib
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipelines.common import splits
from pipelines.common.config import Run, UsageError, nearest
from pipelines.common.stage import stage

Sections = Callable[[Path, dict[str, Any]], list[Any]]

MODULES = {
    "regression": "pipelines.common.report.table",
    "binary": "pipelines.common.report.table",
    "images": "pipelines.common.report.images",
    "text": "pipelines.common.report.text",
    "corpus": "pipelines.common.report.corpus",
    "series": "pipelines.common.report.series",
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
    from pipelines.common.report import page

    with splits.replacing(run.artifacts / "report") as draft:
        size = page.write(draft / "index.html", run.name, card, lambda: sections(run.data, card))
    print(f"{run.artifacts / 'report' / 'index.html'}: {size / 1000:,.0f} kB")


if __name__ == "__main__":
    main()
