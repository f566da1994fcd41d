"""chatbot: statistics of the prompts and of the answers."""

from collections.abc import Sequence
from typing import Protocol

from roadmap import project
from roadmap.inference.language.writing import Response
from roadmap.monitoring.reference.columns import Columns
from roadmap.monitoring.reference.texts import measures


class Prompt(Protocol):
    """What is monitored of a request."""

    prompt: str


class Monitoring(project.Monitoring[Response]):
    def inputs(self, requests: Sequence[Prompt]) -> Columns:
        return measures([request.prompt for request in requests])

    def answers(self, found: Sequence[Response]) -> Columns:
        return measures([answer.text for answer in found])
