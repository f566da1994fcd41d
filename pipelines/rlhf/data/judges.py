"""Who decides which text is better: the rule of the generated reviews, or a classifier of texts."""

from collections.abc import Callable, Sequence

import numpy as np

from pipelines.rlhf.predict.rule import liked
from roadmap.bundle import Bundle, BundleError, load_predictor
from roadmap.io.errors import UsageError
from roadmap.io.json import JsonObject

Judge = Callable[[Sequence[str]], np.ndarray]  # rewards of texts, -1 to 1: [n]


def judge_of(schema: JsonObject) -> Judge:
    """
    Raises:
        UsageError: the schema's `judge` is no bundle of a text classifier.
    """
    return classifier(schema["judge"]) if schema["judge"] else rule


def rule(texts: Sequence[str]) -> np.ndarray:
    return np.array([liked(text) for text in texts])


def classifier(folder: str) -> Judge:
    """Twice the probability of the last class, less 1; 0 for a text without words."""
    expected = "expected the bundle of a text classifier, such as artifacts/imdb/bundle"
    try:
        bundle = Bundle(folder)
        classes, predictor = bundle.json("schema.json").get("classes"), load_predictor(bundle)
    except BundleError as error:
        raise UsageError(f"params.yaml: projects.rlhf.data.judge: {error}; {expected}") from None
    if not classes or "text" not in predictor.Request.model_fields:
        raise UsageError(
            f"params.yaml: projects.rlhf.data.judge: {folder}: found {bundle.manifest.project}; {expected}"
        )

    def judge(texts: Sequence[str]) -> np.ndarray:
        rows = [row for row, text in enumerate(texts) if any(map(str.isalnum, text))]
        answers = predictor.predict([predictor.Request.model_validate({"text": texts[row]}) for row in rows])
        rewards = np.zeros(len(texts))
        for row, answer in zip(rows, (one.model_dump() for one in answers), strict=True):
            best = answer["label"] == classes[-1]
            rewards[row] = (2 * answer["probability"] - 1) * (1 if best else -1)
        return rewards

    return judge
