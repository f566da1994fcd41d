"""Sentiment: length and character statistics of a text, and the confidence of the prediction."""

from collections.abc import Sequence

from pipelines.imdb.predict import Input, Response
from roadmap import project
from roadmap.monitoring.reference.columns import Columns
from roadmap.monitoring.reference.texts import measures


class Monitoring(project.Monitoring[Response]):
    def inputs(self, requests: Sequence[Input]) -> Columns:
        return measures([request.text for request in requests])

    def answers(self, found: Sequence[Response]) -> Columns:
        return {
            "label": [answer.label for answer in found],
            "probability": [answer.probability for answer in found],
            "characters read": [float(answer.read) for answer in found],
        }
