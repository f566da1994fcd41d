"""mini_gpt: statistics of the prompts and of the continuations."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from pipelines.mini_gpt.data import text_of
from roadmap import project
from roadmap.bundle import Bundle
from roadmap.data import splits
from roadmap.inference.language.writing import Response
from roadmap.monitoring.reference.columns import Columns
from roadmap.monitoring.reference.texts import measures
from roadmap.project import Request

PROMPTS, SHORTEST, LENGTHS, TOKENS = 300, 20, 60, 40


class Prompt(Protocol):
    """What is monitored of a request."""

    prompt: str


class Monitoring(project.Monitoring[Response]):
    def requests(self, folder: Path, bundle: Bundle) -> list[Request]:
        """Prompts from the test text; evaluation's own requests, for log-probabilities of windows, are untypical."""
        text = text_of(splits.read_arrays(folder, "test"))
        step = max(1, (len(text) - SHORTEST - LENGTHS) // PROMPTS)
        starts = range(0, max(1, len(text) - SHORTEST - LENGTHS), step)
        return [
            {"prompt": text[start : start + SHORTEST + number % LENGTHS], "max_tokens": TOKENS, "seed": number}
            for number, start in enumerate(starts)
        ][:PROMPTS]

    def inputs(self, requests: Sequence[Prompt]) -> Columns:
        return measures([request.prompt for request in requests], lengths=False)

    def answers(self, found: Sequence[Response]) -> Columns:
        return measures([answer.text for answer in found], lengths=False)
