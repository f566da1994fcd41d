"""word2vec: which tasks and words are asked for, and how near the nearest word is."""

from collections.abc import Sequence

from pipelines.word2vec.predict import Input, Response
from roadmap import project
from roadmap.monitoring.reference.columns import Columns


class Monitoring(project.Monitoring[Response]):
    def inputs(self, requests: Sequence[Input]) -> Columns:
        words = ["".join(request.words) for request in requests]
        return {
            "task": [request.task for request in requests],
            "characters": [float(len(one)) for one in words],
            "beyond ASCII": [float(not one.isascii()) for one in words],
        }

    def answers(self, found: Sequence[Response]) -> Columns:
        return {"similarity": [nearness(answer) for answer in found]}


def nearness(answer: Response) -> float | None:
    """Of the two words, or of the nearest one."""
    return answer.nearest[0]["similarity"] if answer.nearest else answer.similarity
