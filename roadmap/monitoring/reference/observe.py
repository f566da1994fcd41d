"""The reference of a model: its own predictor on its own test rows."""

from roadmap.bundle import Bundle, load_predictor
from roadmap.bundle.answers import answer
from roadmap.config.schema import Run
from roadmap.monitoring.reference import ROWS, Reference, reference
from roadmap.monitoring.reference.columns import watched


def observed(run: Run, bundle: Bundle) -> Reference:
    """Test rows, evenly spaced where there are more than ROWS, or what the project's watch module would ask instead."""
    watch = run.module("monitoring")
    if hasattr(watch, "requests"):
        rows = watch.requests(run.data)
    else:
        rows, _ = run.module("evaluate").test_rows(run.data)
        rows = [rows[number * len(rows) // ROWS] for number in range(ROWS)] if len(rows) > ROWS else rows
    predictor = load_predictor(bundle)
    answers = answer(predictor, rows)
    return reference(watched(watch, [predictor.Request.model_validate(row) for row in rows], answers))
