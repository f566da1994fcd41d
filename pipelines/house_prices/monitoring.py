"""House prices: monitored columns."""

from collections.abc import Sequence

from pydantic import BaseModel

from pipelines.house_prices.predict import Response
from roadmap import project
from roadmap.monitoring.reference.columns import Columns, table


class Monitoring(project.Monitoring[Response]):
    def inputs(self, requests: Sequence[BaseModel]) -> Columns:
        return table(requests)

    def answers(self, found: Sequence[Response]) -> Columns:
        return {"prediction": [answer.prediction for answer in found]}
