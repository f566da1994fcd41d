"""Labelled predictions, and the projects that take labels."""

from datetime import UTC, datetime, timedelta
from typing import Any

import yaml

from roadmap.prediction_log.labels import LabelledPrediction
from roadmap.project import TakesLabels, load_project
from tests.support.checkouts import ROOT

PARAMS = yaml.safe_load((ROOT / "params.yaml").read_text())
DATA = {name: load_project(name).data for name in PARAMS["projects"]}
LABELLED = {name: data.labelled for name, data in DATA.items() if isinstance(data, TakesLabels)}
NOW = datetime(2026, 3, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
WOMAN = {"class": "1st", "sex": "female", "age": "adult"}


def answered(n: int, inputs: dict[str, Any] = WOMAN, label: str = "survived", **changes: Any) -> LabelledPrediction:
    fixed = {"time": NOW + n * MINUTE, "request_id": f"r{n}", "index": 0, "version": "v1", "profile": "sample"}
    return LabelledPrediction(**{**fixed, "input": inputs, "output": {}, "label": label, **changes})
