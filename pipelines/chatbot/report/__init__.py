"""The data report of conversations."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from roadmap import project
from roadmap.io.json import JsonObject

if TYPE_CHECKING:
    from roadmap.reporting.page import Section


class Report(project.Report):
    def sections(self, folder: Path, card: JsonObject) -> list[Section]:
        from pipelines.chatbot.report.sections import sections  # draws, which takes a second to import

        return sections(folder, card)
