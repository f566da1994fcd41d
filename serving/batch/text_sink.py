"""Answers into text files, CSV and JSON Lines, and parts joined to one file."""

import shutil
from collections.abc import Iterable
from pathlib import Path

from serving.batch.scored import Layout, Scored, dumps, text, typed
from serving.runtime.cells import csv_from_rows


class JsonLinesSink:
    """A record a line. from_text: the rows come from a CSV, and take the types that the request gave them"""

    def __init__(self, path: Path, layout: Layout, from_text: bool) -> None:
        self.file, self.layout, self.from_text = path.open("w", encoding="utf-8"), layout, from_text

    def write(self, scored: Scored) -> None:
        """Adds a batch."""
        for row, request, output in zip(scored.rows, scored.requests, scored.outputs, strict=True):
            given = typed(row, request) if self.from_text else row.values
            self.file.write(dumps(self.layout.record(row, given, output)) + "\n")

    def close(self) -> None:
        """Closes the file."""
        self.file.close()


class CsvSink:
    """Without a header: the parts are joined below one."""

    def __init__(self, path: Path, layout: Layout) -> None:
        self.file, self.layout = path.open("w", encoding="utf-8", newline=""), layout

    def write(self, scored: Scored) -> None:
        """Adds a batch."""
        layout, names = self.layout, self.layout.names
        rows = zip(scored.rows, scored.outputs, strict=True)
        records = (layout.record(row, row.values, output) for row, output in rows)
        self.file.write(csv_from_rows([{name: text(record.get(name)) for name in names} for record in records]))

    def close(self) -> None:
        """Closes the file."""
        self.file.close()


def join_texts(parts: Iterable[Path], target: Path, header: list[str] | None = None) -> None:
    """Texts one behind the other."""
    with target.open("wb") as file:
        if header is not None:
            file.write(csv_from_rows([dict.fromkeys(header)], header=True).partition("\n")[0].encode() + b"\n")
        for part in parts:
            with part.open("rb") as source:
                shutil.copyfileobj(source, file, 2**20)
