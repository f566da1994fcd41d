from collections.abc import Sequence
from typing import Any

from pipelines.throw_away.predict import Response

from roadmap import project
from roadmap.monitoring.reference.columns import Columns, table


class Monitoring(project.Monitoring[Response]):
    def inputs(self, requests: Sequence[Any]) -> Columns:
        return table(requests)

    def answers(self, found: Sequence[Response]) -> Columns:
        return {"probability": [answer.probability for answer in found]}
