"""Sentiment over HTTP: a text in; a label, its probability and the contribution of every token out. No torch.

The network's log-odds of the second class are a bias plus a sum over the tokens it read (models/imdb.py), so the
contributions are no approximation: log_odds = bias + sum of weights, and sigmoid(log_odds) is the probability.
"""

import math
import re
from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, create_model
from tokenizers import Encoding, Tokenizer
from typing_extensions import TypedDict

from roadmap import bundle
from roadmap.bundle import Bundle

MOST = 20_000  # most characters per text
TOKENS = 16_384  # per run of the graph, padding included, to bound its memory
UNKNOWN = 1


class Contribution(TypedDict):
    """`weight` is the contribution of the token, in its context, to the log-odds of the second class."""

    token: str
    start: int
    end: int
    weight: float


class Response(BaseModel):
    label: str
    probability: float = Field(ge=0.5, le=1, description="of `label`")
    log_odds: float = Field(description="of the second class: bias + sum of the contributions")
    read: int = Field(ge=0, description="characters read; long texts are truncated")
    bias: float = Field(description="log-odds of the second class without any token")
    contributions: list[Contribution] | None = Field(
        description="contribution of each token, text[start:end], to the log-odds; null if `explain` is false"
    )


def is_blank(text: str) -> bool:
    """Whether nothing is in it but white space and line breaks."""
    return not re.sub(r"(?i)<br\s*/?>", "", text).strip()


def has_words(text: str) -> str:
    if is_blank(text):
        raise ValueError("should hold more than white space")
    return text


class Predictor(bundle.Predictor):
    Response = Response

    def __init__(self, bundle: Bundle) -> None:
        self.classes: list[str] = bundle.json("schema.json")["classes"]
        text = Annotated[str, Field(strict=True, min_length=1, max_length=MOST), AfterValidator(has_words)]
        self.Request = create_model(
            "imdb_request",
            __config__=ConfigDict(extra="forbid", json_schema_extra={"example": bundle.example[0]}),
            text=(text, Field(description=f"at most {MOST:,} characters")),
            explain=(Annotated[bool, Field(strict=True)], Field(True, description="whether to return contributions")),
        )
        self.tokenizer = Tokenizer.from_file(str(bundle.folder / "tokenizer.json"))
        self.session = bundle.session()

    def predict(self, inputs: Sequence[Any]) -> list[BaseModel]:
        encodings = self.tokenizer.encode_batch([request.text for request in inputs])
        ids = [encoding.ids or [UNKNOWN] for encoding in encodings]
        answers: dict[int, BaseModel] = {}
        for rows in batches([len(row) for row in ids]):
            logits, weights = self.run([ids[i] for i in rows])
            for i, logit, weight in zip(rows, logits, weights, strict=True):
                weight = weight[: len(ids[i])]
                answers[i] = self.response(inputs[i], encodings[i], float(logit), weight)
        return [answers[i] for i in range(len(ids))]

    def run(self, ids: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
        """-> log-odds [n], contributions [n, longest]"""
        lengths = np.array([len(row) for row in ids])
        tokens = np.zeros((len(ids), lengths.max()), np.int32)
        tokens[np.arange(tokens.shape[1]) < lengths[:, None]] = np.concatenate(ids)
        logits, weights = self.session.run(["logit", "contributions"], {"tokens": tokens, "lengths": lengths})
        return logits, weights

    def response(self, request: Any, encoding: Encoding, logit: float, weights: np.ndarray) -> BaseModel:
        sure = 1 / (1 + math.exp(-min(abs(logit), 500.0)))  # of the more likely class
        spans = encoding.offsets or [(0, len(request.text))]
        contributions: list[Contribution] | None = None
        if request.explain:
            contributions = [
                {"token": request.text[start:end], "start": start, "end": end, "weight": round(float(weight), 5)}
                for (start, end), weight in zip(spans, weights, strict=True)
            ]
        return Response(
            label=self.classes[int(logit >= 0)],
            probability=round(sure, 6),
            log_odds=round(logit, 5),
            read=spans[-1][1],
            bias=round(logit - float(weights.sum()), 5),
            contributions=contributions,
        )


def batches(lengths: list[int]) -> list[list[int]]:
    """Row indices grouped by similar length, so that each run has little padding and at most TOKENS tokens."""
    groups: list[list[int]] = []
    for row in sorted(range(len(lengths)), key=lambda row: -lengths[row]):
        if not groups or (len(groups[-1]) + 1) * lengths[groups[-1][0]] > TOKENS:
            groups.append([])
        groups[-1].append(row)
    return groups
