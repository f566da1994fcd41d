"""rlhf: statistics of the prompts and of what is written behind them."""

from collections.abc import Sequence
from typing import Protocol

from pipelines.rlhf.predict.rule import liked
from roadmap import project
from roadmap.inference.language.writing import Response
from roadmap.monitoring.reference.columns import Columns
from roadmap.monitoring.reference.texts import measures


class Prompt(Protocol):
    """What is monitored of a request."""

    prompt: str


class Monitoring(project.Monitoring[Response]):
    def inputs(self, requests: Sequence[Prompt]) -> Columns:
        return measures([request.prompt for request in requests], lengths=False)

    def answers(self, found: Sequence[Response]) -> Columns:
        return {**measures([answer.text for answer in found]), "reward": [liked(answer.text) for answer in found]}
