"""Translation: statistics of texts and of their translations, and how sure the network is."""

from collections.abc import Sequence

from pipelines.translation.predict import Input, Translation
from roadmap import project
from roadmap.monitoring.reference.columns import Columns
from roadmap.monitoring.reference.texts import measures


class Monitoring(project.Monitoring[Translation]):
    def inputs(self, requests: Sequence[Input]) -> Columns:
        return measures([request.text for request in requests])

    def answers(self, found: Sequence[Translation]) -> Columns:
        return {"score": [answer.score for answer in found], **measures([answer.translation for answer in found])}
