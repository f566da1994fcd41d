"""mini_gpt: whether prompts are written like the training text, and what the continuations look like."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipelines.mini_gpt.data import text_of
from roadmap.data import splits
from roadmap.monitoring.reference.columns import Columns
from roadmap.monitoring.reference.texts import measures

PROMPTS, SHORTEST, LENGTHS, TOKENS = 300, 20, 60, 40


def requests(folder: Path) -> list[dict[str, Any]]:
    """Prompts out of the test text: evaluation asks for probabilities of whole windows, as nobody else does."""
    text = text_of(splits.read(folder, "test"))
    step = max(1, (len(text) - SHORTEST - LENGTHS) // PROMPTS)
    starts = range(0, max(1, len(text) - SHORTEST - LENGTHS), step)
    return [
        {"prompt": text[start : start + SHORTEST + number % LENGTHS], "max_tokens": TOKENS, "seed": number}
        for number, start in enumerate(starts)
    ][:PROMPTS]


def inputs(asked: Sequence[Any]) -> Columns:
    return measures([request.prompt for request in asked], lengths=False)


def answers(found: Sequence[Any]) -> Columns:
    return measures([answer.text for answer in found], lengths=False)
