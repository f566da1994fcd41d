"""Batch prediction."""

from collections.abc import Iterator, Sequence
from typing import Any

from roadmap.bundle.predictor import Predictor

BATCH = 256


def predict_in_batches(predictor: Predictor, requests: Sequence[dict[str, Any]]) -> list[Any]:
    """Validates and predicts as the server does, in batches, with a progress bar for long runs."""
    from tqdm import tqdm

    outputs: list[Any] = []
    starts: Iterator[int] = tqdm(range(0, len(requests), BATCH), desc="predict", delay=2, disable=None)
    for start in starts:
        outputs += predictor.predict([predictor.Request.model_validate(r) for r in requests[start : start + BATCH]])
    return outputs
