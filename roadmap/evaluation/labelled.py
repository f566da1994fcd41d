"""Scores logged predictions that have labels, with the project's own evaluation."""

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from roadmap.data.splits import RECENT
from roadmap.evaluation.scores import Score
from roadmap.feedback.recent import target_of
from roadmap.io.json import JsonObject
from roadmap.project import Project, Request, Row, Schema, TakesLabels


class LabelScorer:
    """Scores the labelled predictions of one project, by the schema of one of its bundles."""

    def __init__(self, project: Project, schema: Schema) -> None:
        self.project, self.schema = project, schema

    def row(self, label: str, request: Request) -> Row | None:
        """The input and its label as a row of a split; None if the project takes no labels or the row doesn't match."""
        data = self.project.data
        if not isinstance(data, TakesLabels):
            return None
        row, target = data.labelled(request, self.schema), target_of(label, self.schema)
        return None if row is None or target is None else {**row, self.schema["target"]: target}

    def score(self, rows: list[Row], outputs: Sequence[JsonObject]) -> Score:
        """rows: from `row`; outputs: the logged response to each"""
        with tempfile.TemporaryDirectory() as folder:  # `test_rows` reads what `prepare` writes
            _write(Path(folder), rows, self.schema)
            _, targets = self.project.data.test_rows(Path(folder), RECENT)
        answers = [self.project.predictor.Response.model_validate(one) for one in outputs]
        return self.project.evaluation.score(targets, answers)


def _write(folder: Path, rows: list[Row], schema: Schema) -> None:
    card = {"profile": "", "source": "", "rows": {RECENT: len(rows)}, "schema": schema, "files": {}, "sha256": ""}
    (folder / "card.json").write_text(json.dumps(card))
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    if any(isinstance(values[0], np.ndarray) for values in columns.values()):
        np.savez(folder / f"{RECENT}.npz", **{name: np.array(values) for name, values in columns.items()})  # type: ignore[arg-type]
        return
    import pandas as pd

    pd.DataFrame(columns).to_parquet(folder / f"{RECENT}.parquet")
