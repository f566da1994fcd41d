"""Batch prediction."""

from collections.abc import Iterator, Sequence

from roadmap.bundle.predictor import Answered, Asked, Predictor
from roadmap.io.json import JsonObject

BATCH = 256


def predict_in_batches(predictor: Predictor[Asked, Answered], requests: Sequence[JsonObject]) -> list[Answered]:
    """Validates and predicts as the server does, in batches, with a progress bar for long runs.

    -> one `Response` per request, in order

    Raises:
        ValidationError: a request is none of the predictor's.
    """
    from tqdm import tqdm

    outputs: list[Answered] = []
    starts: Iterator[int] = tqdm(range(0, len(requests), BATCH), desc="predict", delay=2, disable=None)
    for start in starts:
        outputs += predictor.predict([predictor.Request.model_validate(r) for r in requests[start : start + BATCH]])
    return outputs
