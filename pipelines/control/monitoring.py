"""Control: what is observed, what is done, and how sure and how hopeful the policy is."""

from collections.abc import Sequence
from pathlib import Path

from pipelines.control.predict import Input, Response
from roadmap import project
from roadmap.bundle import Bundle
from roadmap.monitoring.reference.columns import Columns
from roadmap.project import Request


class Monitoring(project.Monitoring[Response]):
    def requests(self, folder: Path, bundle: Bundle) -> list[Request]:
        """Observations of whole episodes: those that an episode begins with are few and alike."""
        return [{"observation": one} for one in bundle.json("visited.json")["observations"]]

    def inputs(self, requests: Sequence[Input]) -> Columns:
        """By number: the columns must be the same whatever the bundle."""
        rows = [request.observation for request in requests]
        if not rows or isinstance(rows[0], int):
            return {"state": [str(row) for row in rows]}
        return {f"observation {place}": list(column) for place, column in enumerate(zip(*rows, strict=True))}

    def answers(self, found: Sequence[Response]) -> Columns:
        return {
            "action": [answer.name for answer in found],
            "confidence": [max(answer.probabilities.values()) for answer in found],
            "value": [answer.value for answer in found],
        }
