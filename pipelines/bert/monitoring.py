"""Monitored columns: length and character statistics of a text; the label, its probability, how far out of scope."""

from collections.abc import Sequence

from pipelines.bert.predict import Response
from roadmap import project
from roadmap.inference.text.classifier import Input
from roadmap.monitoring.reference.columns import Columns
from roadmap.monitoring.reference.texts import measures


class Monitoring(project.Monitoring[Response]):
    def inputs(self, requests: Sequence[Input]) -> Columns:
        return measures([request.text for request in requests])

    def answers(self, found: Sequence[Response]) -> Columns:
        return {
            "label": [answer.label for answer in found],
            "probability": [answer.probability for answer in found],
            "scope score": [answer.scope_score for answer in found],
        }
