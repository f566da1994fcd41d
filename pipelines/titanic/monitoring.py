"""Titanic: monitored columns."""

from collections.abc import Sequence

from pydantic import BaseModel

from pipelines.titanic.predict import Response
from roadmap import project
from roadmap.monitoring.reference.columns import Columns, table


class Monitoring(project.Monitoring[Response]):
    def inputs(self, requests: Sequence[BaseModel]) -> Columns:
        return table(requests)

    def answers(self, found: Sequence[Response]) -> Columns:
        return {"label": [answer.label for answer in found], "probability": [answer.probability for answer in found]}
