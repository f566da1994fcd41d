"""Sentiment over HTTP: a text in; a label, its probability and the contribution of every token out. No torch.

The network's logits are biases plus sums over the tokens it read (models/imdb.py), so the contributions are no
approximation: log_odds = bias + sum of weights. Of two classes log_odds are those of the second, and sigmoid(log_odds)
is its probability; of more, they are the logit of `label` minus the mean of all logits.
"""

import math
from collections.abc import Sequence
from typing import Annotated, Protocol

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, create_model
from tokenizers import Encoding, Tokenizer

from roadmap import bundle
from roadmap.bundle import Bundle
from roadmap.inference.text import MOST, Contribution, batches, has_words
from roadmap.io.json import JsonObject

UNKNOWN = 1


class Input(Protocol):
    """What `Predictor.Request` validates."""

    text: str
    explain: bool


class Response(BaseModel):
    label: str
    probability: float = Field(ge=0, le=1, description="of `label`")
    log_odds: float = Field(
        description="bias + sum of the contributions: of the second of two classes, of more, of `label` against the "
        "geometric mean of all"
    )
    read: int = Field(ge=0, description="characters read; long texts are truncated")
    bias: float = Field(description="log-odds without any token")
    contributions: list[Contribution] | None = Field(
        description="contribution of each token, text[start:end], to the log-odds; null if `explain` is false"
    )


class MulticlassResponse(Response):
    """For more than two classes; it also reads logged responses to two, which have no `probabilities`."""

    probabilities: dict[str, float] | None = Field(None, description="by class name")


class Predictor(bundle.Predictor):
    Response: type[BaseModel] = MulticlassResponse

    def __init__(self, bundle: Bundle) -> None:
        self.classes: list[str] = bundle.json("schema.json")["classes"]
        if len(self.classes) == 2:
            self.Response = Response
        text = Annotated[str, Field(strict=True, min_length=1, max_length=MOST), AfterValidator(has_words)]
        self.Request = create_model(
            "imdb_request",
            __config__=ConfigDict(extra="forbid", json_schema_extra={"example": bundle.example[0]}),
            text=(text, Field(description=f"at most {MOST:,} characters")),
            explain=(Annotated[bool, Field(strict=True)], Field(True, description="whether to return contributions")),
        )
        self.tokenizer = Tokenizer.from_file(str(bundle.folder / "tokenizer.json"))
        self.session = bundle.session()

    def predict(self, inputs: Sequence[Input]) -> list[BaseModel]:
        encodings = self.tokenizer.encode_batch([request.text for request in inputs])
        ids = [encoding.ids or [UNKNOWN] for encoding in encodings]
        answers: dict[int, BaseModel] = {}
        for rows in batches([len(row) for row in ids]):
            logits, weights = self.run([ids[i] for i in rows])
            for i, logit, weight in zip(rows, logits, weights, strict=True):
                answers[i] = self.response(inputs[i], encodings[i], logit, weight[: len(ids[i])])
        return [answers[i] for i in range(len(ids))]

    def run(self, ids: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
        """-> log-odds [n], contributions [n, longest]; of more than two classes, each with a last axis of classes"""
        lengths = np.array([len(row) for row in ids])
        tokens = np.zeros((len(ids), lengths.max()), np.int32)
        tokens[np.arange(tokens.shape[1]) < lengths[:, None]] = np.concatenate(ids)
        logits, weights = self.session.run(["logit", "contributions"], {"tokens": tokens, "lengths": lengths})
        return logits, weights

    def response(self, request: Input, encoding: Encoding, logit: np.ndarray, weights: np.ndarray) -> BaseModel:
        """logit: [] or [classes]; weights: [t] or [t, classes]"""
        if logit.ndim:
            best = int(logit.argmax())
            answer = self.of_many(logit, best)
            log_odds, weights = float(logit[best] - logit.mean()), weights[:, best] - weights.mean(axis=1)
        else:
            log_odds = float(logit)
            answer = self.of_two(log_odds)
        spans = encoding.offsets or [(0, len(request.text))]
        contributions: list[Contribution] | None = None
        if request.explain:
            contributions = [
                {"token": request.text[start:end], "start": start, "end": end, "weight": round(float(weight), 5)}
                for (start, end), weight in zip(spans, weights, strict=True)
            ]
        return self.Response(
            **answer,
            log_odds=round(log_odds, 5),
            read=spans[-1][1],
            bias=round(log_odds - float(weights.sum()), 5),
            contributions=contributions,
        )

    def of_two(self, log_odds: float) -> JsonObject:
        """The first fields of the response. log_odds: of the second class"""
        sure = 1 / (1 + math.exp(-min(abs(log_odds), 500.0)))  # of the more likely class
        return {"label": self.classes[int(log_odds >= 0)], "probability": round(sure, 6)}

    def of_many(self, logits: np.ndarray, best: int) -> JsonObject:
        """The first fields of the response. logits: [classes], best: index of the largest"""
        odds = np.exp(logits - logits.max(), dtype=np.float64)
        shares = [round(float(share), 6) for share in odds / odds.sum()]
        probabilities = dict(zip(self.classes, shares, strict=True))
        return {"label": self.classes[best], "probability": shares[best], "probabilities": probabilities}
