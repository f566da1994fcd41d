"""A visitor of a server that has a champion and a challenger, and what the server counts."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient

from roadmap.bundle import MANIFEST, Manifest
from roadmap.prediction_log import log as recording
from roadmap.prediction_log.log import PredictionRecord
from serving.observability import metrics

WOMAN = {"class": "1st", "sex": "female", "age": "adult"}
MINUTE = timedelta(minutes=1)
HANGS = 120.0  # seconds, as long as a predictor that hangs


class Visitor:
    def __init__(self, client: TestClient, artifacts: Path, log: str) -> None:
        self.client, self.log = client, log
        self.champion, self.challenger = (
            Manifest.model_validate_json((artifacts / "titanic" / name / MANIFEST).read_bytes()).version
            for name in ("bundle", "challenger")
        )

    def ask(self, caller: str = "", path: str = "/models/titanic/predict", **headers: str) -> Any:
        if caller:
            headers["X-Caller-Id"] = caller
        response = self.client.post(path, json={"inputs": [WOMAN]}, headers=headers)
        assert response.status_code == 200, response.text
        return response

    def version(self, caller: str = "", **headers: str) -> str:
        response = self.ask(caller, **headers)
        assert response.json()["model"]["version"] == response.headers["x-model-version"]
        return str(response.headers["x-model-version"])

    @property
    def slot(self) -> Any:
        return self.client.app.state.challengers.store.slots["titanic"]  # type: ignore[attr-defined]

    def rows(self) -> list[PredictionRecord]:
        now = datetime.now(UTC)
        return list(recording.read(self.log, "titanic", now - MINUTE, now + MINUTE))


def count(name: str, **labels: str) -> float:
    """The current sum in /metrics over all series with these labels."""
    found = 0.0
    for line in metrics.render()[0].decode().splitlines():
        if match := re.fullmatch(rf"{name}{{(.*)}} ([\d.e+]+)", line):
            has = dict(re.findall(r'(\w+)="([^"]*)"', match[1]))
            found += float(match[2]) * (labels.items() <= has.items())
    return found


def broken(*_: Any) -> Any:
    raise RuntimeError("broken on purpose")
