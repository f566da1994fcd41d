"""The predictor of a fine-tuned text encoder: classes, what is out of scope, contributions, sentence vectors."""

from collections.abc import Sequence
from typing import Annotated, Protocol

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, create_model
from tokenizers import Encoding, Tokenizer

from roadmap.bundle import Bundle, Embeds, Predictor
from roadmap.inference.text import MOST, Contribution, has_words
from roadmap.inference.text.encoder import Encoder
from roadmap.inference.text.scope import Scope
from roadmap.inference.text.shapley import contributions

PARTS = 24  # whose contributions are told; words of longer texts are taken together


class Input(Protocol):
    """What `TextClassifier.Request` validates."""

    text: str
    explain: bool


class ClassifiedText(BaseModel):
    """An answer."""

    label: str
    probability: float = Field(ge=0, le=1, description="of `label`")
    probabilities: dict[str, float] = Field(description="by class name")
    out_of_scope: bool = Field(description="whether the text seems to belong to no class")
    scope_score: float = Field(
        description="distance to the nearest class beyond the threshold; out of scope if positive, as 5% of the "
        "validation texts are"
    )
    log_odds: float = Field(description="of `label` against all others: bias + sum of the contributions")
    read: int = Field(ge=0, description="characters read; long texts are truncated")
    bias: float | None = Field(description="log-odds without any word; null if `explain` is false")
    contributions: list[Contribution] | None = Field(
        description="Shapley values of the words, text[start:end]; null if `explain` is false"
    )


class TextClassifier(Predictor[BaseModel, ClassifiedText], Embeds):
    """The bundle holds model.onnx, tokenizer.json, schema.json with the classes, and scope.json."""

    Response: type[BaseModel] = ClassifiedText

    def __init__(self, bundle: Bundle) -> None:
        self.classes: list[str] = bundle.json("schema.json")["classes"]
        self.scope = Scope.of_json(bundle.json("scope.json"))
        text = Annotated[str, Field(strict=True, min_length=1, max_length=MOST), AfterValidator(has_words)]
        self.Request = create_model(
            f"{bundle.manifest.project}_request",
            __config__=ConfigDict(extra="forbid", json_schema_extra={"example": bundle.example[0]}),
            text=(text, Field(description=f"at most {MOST:,} characters")),
            explain=(
                Annotated[bool, Field(strict=True)],
                Field(False, description=f"whether to return contributions; takes up to {2 * PARTS} times as long"),
            ),
        )
        tokenizer = Tokenizer.from_file(str(bundle.folder / "tokenizer.json"))
        self.encoder = Encoder(tokenizer, bundle.session(), alone=bundle.manifest.precision == "int8_dynamic")

    def predict(self, inputs: Sequence[Input]) -> list[ClassifiedText]:  # type: ignore[override]
        encodings = self.encoder.read([request.text for request in inputs])
        found = self.encoder([encoding.ids for encoding in encodings])
        rows = zip(inputs, encodings, found.logits, self.scope.scores(found.vectors), strict=True)
        return [self.response(request, encoding, row, float(score)) for request, encoding, row, score in rows]

    def response(self, request: Input, encoding: Encoding, logits: np.ndarray, score: float) -> ClassifiedText:
        """logits: [classes]"""
        best = int(logits.argmax())
        chances = np.exp(logits - logits.max(), dtype=np.float64)
        shares = [round(float(chance), 6) for chance in chances / chances.sum()]
        odds = float(log_odds(logits[None], best)[0])
        answer = ClassifiedText(
            label=self.classes[best],
            probability=shares[best],
            probabilities=dict(zip(self.classes, shares, strict=True)),
            out_of_scope=score > 0,
            scope_score=round(score, 2),  # the graph's last digits depend on the rest of the batch
            log_odds=round(odds, 5),
            read=max((end for _, end in encoding.offsets), default=0),
            bias=None,
            contributions=None,
        )
        return self.explained(answer, request.text, encoding, best) if request.explain else answer

    def explained(self, answer: ClassifiedText, text: str, encoding: Encoding, label: int) -> ClassifiedText:
        """The answer with what each word adds to the log-odds of the label."""
        words = words_of(encoding)
        framed = np.array(encoding.special_tokens_mask, bool)
        mine = np.zeros((len(words), len(framed)), bool)
        for number, places in enumerate(words):
            mine[number, places] = True

        def value(there: np.ndarray) -> np.ndarray:
            """there: bool [n, words] -> [n]"""
            seen = framed | (there[:, :, None] & mine).any(axis=1)
            return log_odds(self.encoder.logits_without(encoding.ids, seen), label)

        weights = contributions(value, len(words))[0] if words else np.zeros(0)
        spans = [(encoding.offsets[word[0]][0], encoding.offsets[word[-1]][1]) for word in words]
        told: list[Contribution] = [
            {"token": text[start:end], "start": start, "end": end, "weight": round(float(weight), 5)}
            for (start, end), weight in zip(spans, weights, strict=True)
        ]
        bias = round(answer.log_odds - sum(one["weight"] for one in told), 5)
        return answer.model_copy(update={"bias": bias, "contributions": told})

    def embed(self, texts: Sequence[str]) -> tuple[np.ndarray, int]:
        """The mean of the last hidden states, of length 1: float32 [n, width]; and the number of tokens read.

        Raises:
            ValueError: a text is blank or too long.
        """
        if long := next((text for text in texts if len(text) > MOST), None):
            raise ValueError(f"should have at most {MOST} characters, found {len(long)}")
        ids = [encoding.ids for encoding in self.encoder.read([has_words(text) for text in texts])]
        return self.encoder(ids).vectors, sum(map(len, ids))


def log_odds(logits: np.ndarray, label: int) -> np.ndarray:
    """Of a class against all others: with two, the difference of the logits. logits: [n, classes] -> [n]"""
    others = np.delete(logits.astype(np.float64), label, axis=1)
    return logits[:, label] - np.logaddexp.reduce(others, axis=1)


def words_of(encoding: Encoding) -> list[list[int]]:
    """The places of each word's tokens, PARTS words at most: neighbours are taken together where there are more.

    A token is a word of its own where words have no spaces between them.
    """
    words: list[list[int]] = []
    last = None
    for place, special in enumerate(encoding.special_tokens_mask):
        if special:
            continue
        word, start = encoding.word_ids[place], encoding.offsets[place][0]
        if word == last and words and start == encoding.offsets[place - 1][1] and joined(encoding, place):
            words[-1].append(place)
        else:
            words.append([place])
        last = word
    if len(words) <= PARTS:
        return words
    groups = np.array_split(np.arange(len(words)), PARTS)
    return [[place for number in group for place in words[number]] for group in groups]


def joined(encoding: Encoding, place: int) -> bool:
    """Whether the token continues the word before it: not in Chinese, whose runs of characters hold many words."""
    return not any("\u4e00" <= sign <= "\u9fff" for sign in encoding.tokens[place] + encoding.tokens[place - 1])
