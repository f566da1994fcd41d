"""Results of the stages for /status: <folder>/<project>/*.json and *.jsonl.

A missing file means no result yet. An unreadable one is shown as such: the status page must not fail with what it
reports on.
"""

import json
import os
from collections.abc import Callable
from pathlib import Path

from pydantic import BaseModel, Field

from roadmap.io.json import JsonObject

TAIL = 256 * 1024  # bytes read from the end of a log
VERDICT, REPORT = "monitoring/verdict.json", "monitoring/report.html"
COMPARED, COMPARISON = "monitoring/ab.json", "monitoring/ab.html"


class Record(BaseModel):
    """The latest result of one kind: drift, gate, deployment or comparison."""

    said: str = Field(description="the result in a word or two")
    at: str | None = Field(default=None, description="ISO 8601")
    detail: str | None = Field(default=None, description="the result in a sentence")
    link: str | None = Field(default=None, description="address of the full report")
    bad: bool = Field(default=False, description="whether it needs attention")


class ArtifactReader:
    """The records of each project; empty without a folder."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder

    def page(self, project: str, name: str) -> Path | None:
        """Path of a report. `project` must be served, `name` one of the names above."""
        path = self.folder / project / name if self.folder else None
        return path if path and path.is_file() else None

    def drift(self, project: str) -> Record | None:
        """The latest verdict of `pipelines.monitor`."""

        def record(found: JsonObject) -> Record:
            link = f"status/{project}/drift" if self.page(project, REPORT) else None
            bad = found["verdict"] == "drift"
            return Record(said=found["verdict"], at=found["at"], detail=found.get("summary"), link=link, bad=bad)

        return self._read(project, VERDICT, record)

    def comparison(self, project: str) -> Record | None:
        """The latest comparison with a challenger."""

        def record(found: JsonObject) -> Record:
            before = (found.get("off_policy") or {}).get("verdict")
            said = (found.get("score") or {}).get("verdict") or (f"foreseen: {before}" if before else "no labels yet")
            link = f"compare/{project}" if self.page(project, COMPARISON) else None
            bad = said in ("worse", "foreseen: worse")
            return Record(said=said, at=found["at"], detail=found["summary"], link=link, bad=bad)

        return self._read(project, COMPARED, record)

    def gate(self, project: str) -> Record | None:
        """The latest entry of the promotion log, or without one the latest decision."""

        def record(found: JsonObject) -> Record:
            said = found.get("event") or ("promoted" if found["promoted"] else "refused")
            detail = found.get("summary") or f"version {found['champion']} of the registry"
            return Record(said=said, at=found.get("at"), detail=detail, bad=said == "refused")

        return self._read(project, "promotions.jsonl", record) or self._read(project, "decision.json", record)

    def deploy(self, project: str) -> Record | None:
        """The latest deployment or rollback."""

        def record(found: JsonObject) -> Record:
            place = " ".join(str(found[name]) for name in ("target", "stage") if found.get(name))
            moved = f"{found.get('from') or 'nothing'} to {found.get('to') or 'nothing'}"
            detail = "; ".join(filter(None, [moved, found.get("reason"), found.get("by")]))
            return Record(
                said=f"{found['result']} ({place})", at=found["ended"], detail=detail, bad=found["result"] != "deployed"
            )

        return self._read(project, "deployments.jsonl", record)

    def score(self, project: str, version: str | None) -> str | None:
        """The headline metric on the test rows, if it is of this version."""

        def record(found: JsonObject) -> Record:
            headline = found["headline"]
            of = found.get("bundle_version") == version
            return Record(said=f"{headline['name']} {headline['value']:.4f}" if of else "")

        found = self._read(project, "metrics.json", record)
        return found.said or None if found else None

    def _read(self, project: str, name: str, record: Callable[[JsonObject], Record]) -> Record | None:
        path = self.page(project, name)
        if path is None:
            return None
        try:
            content = json.loads(last_line(path) if path.suffix == ".jsonl" else path.read_bytes())
            found = record(content)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            return Record(said="cannot be read", detail=f"{name}: {type(error).__name__}", bad=True)
        said = (found.detail or "").removeprefix(f"{project}: ")  # the row has it already
        return found.model_copy(update={"detail": said or None})


def last_line(path: Path) -> bytes:
    """The last lines of a growing file."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - TAIL))
        return file.read().rstrip().rpartition(b"\n")[2]
