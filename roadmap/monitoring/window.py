"""The monitored window: the champion's latest rows of the prediction log."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from roadmap.bundle import Predictor
from roadmap.prediction_log.log import PredictionRecord


@dataclass
class Window:
    since: datetime
    until: datetime
    requests: list[Any] = field(default_factory=list)
    answers: list[Any] = field(default_factory=list)
    unreadable: int = 0  # rows that the predictor's types reject

    @property
    def rows(self) -> int:
        return len(self.requests)


def window(
    log: Iterable[PredictionRecord], version: str, predictor: Predictor, most: int, since: datetime, until: datetime
) -> Window:
    """The latest `most` rows of one version. Those of other versions, such as a challenger's, are skipped."""
    found = Window(since, until)
    for row in deque((row for row in log if row.version == version), maxlen=most):
        try:
            request = predictor.Request.model_validate_json(row.input)
            answer = predictor.Response.model_validate_json(row.output)
        except ValidationError:
            found.unreadable += 1
            continue
        found.requests.append(request)
        found.answers.append(answer)
    return found
