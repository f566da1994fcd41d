"""A project's own score of answers from the prediction log whose truth has become known."""

import importlib
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from roadmap.data.splits import RECENT
from roadmap.evaluation.scores import Score


class Judge:
    """Labels and answers of one project, by the schema of its bundle."""

    def __init__(self, project: str, schema: dict[str, Any]) -> None:
        self.schema = schema
        self.data, self.evaluation, self.predict = (
            importlib.import_module(f"pipelines.{project}.{part}") for part in ("data", "evaluate", "predict")
        )

    def row(self, label: str, asked: dict[str, Any]) -> dict[str, Any] | None:
        """What a split would hold of this input; None where project or model can't be judged by it."""
        from roadmap.feedback.recent import target_of

        if not hasattr(self.data, "labelled"):
            return None
        row, target = self.data.labelled(asked, self.schema), target_of(label, self.schema)
        return None if row is None or target is None else {**row, self.schema["target"]: target}

    def score(self, rows: list[dict[str, Any]], outputs: Sequence[dict[str, Any]]) -> Score:
        from roadmap.monitoring.live import written

        with tempfile.TemporaryDirectory() as folder:  # `test_rows` reads what `prepare` writes
            written(Path(folder), rows, self.schema)
            _, targets = self.evaluation.test_rows(Path(folder), RECENT)
        found: Score = self.evaluation.score(targets, [self.predict.Response.model_validate(one) for one in outputs])
        return found
