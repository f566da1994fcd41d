"""Builds the reference of a model from its predictions on the test rows."""

from pathlib import Path

from roadmap.bundle import Bundle, load_predictor
from roadmap.bundle.answers import predict_in_batches
from roadmap.monitoring.reference import ROWS, Reference, reference
from roadmap.monitoring.reference.columns import monitored_columns
from roadmap.project import Project


def build_reference(project: Project, data: Path, bundle: Bundle) -> Reference:
    """At most ROWS evenly spaced test rows, or the requests that the project's `Monitoring` defines instead."""
    rows = project.monitoring.requests(data, bundle)
    if rows is None:
        rows, _ = project.data.test_rows(data)
        rows = [rows[number * len(rows) // ROWS] for number in range(ROWS)] if len(rows) > ROWS else rows
    predictor = load_predictor(bundle)
    requests, outputs = [predictor.Request.model_validate(row) for row in rows], predict_in_batches(predictor, rows)
    return reference(monitored_columns(project.monitoring.inputs(requests), project.monitoring.answers(outputs)))
