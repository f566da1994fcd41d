"""word2vec over HTTP: neighbours of a word, similarity of two, analogies, and a map of the most frequent. No torch.

The graph gives the cosines of a sum of unit vectors with every word (models/word2vec.py); the rest is sorting.
"""

import difflib
from collections.abc import Sequence
from typing import Annotated, Literal, Protocol

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, create_model
from typing_extensions import TypedDict

from roadmap import bundle
from roadmap.bundle import Bundle

Task = Literal["neighbours", "similarity", "analogy", "map"]
# How many words a task takes, and the sign of each in the sum whose neighbours are looked for.
SIGNS: dict[str, tuple[int, ...]] = {"neighbours": (1,), "similarity": (1, 0), "analogy": (-1, 1, 1), "map": ()}
MOST = 1_000


class Input(Protocol):
    """What `Predictor.Request` validates."""

    task: Task
    words: list[str]
    top: int


class Near(TypedDict):
    """A word, its cosine with what was asked for, and its place on the map; null if it is not on it."""

    word: str
    similarity: float | None
    x: float | None
    y: float | None


class Response(BaseModel):
    task: Task
    similarity: float | None = Field(description="of the two words: the cosine of their vectors, -1 to 1")
    nearest: list[Near] | None = Field(description="the nearest words, best first; of a map: the most frequent")


class Question(BaseModel):
    """The base of `Predictor.Request`, which knows the vocabulary."""

    model_config = ConfigDict(extra="forbid")

    task: Task = Field(description="neighbours of one word, similarity of two, analogy of three (a is to b as c is to "
                       "what?), or the map of the most frequent words")  # fmt: skip
    words: list[str] = Field([], max_length=3, description="as many as the task takes")
    top: int = Field(10, strict=True, ge=1, le=MOST, description="words in the answer, at most")

    def model_post_init(self, _: object) -> None:
        if len(self.words) != (expected := len(SIGNS[self.task])):
            raise ValueError(f"words: found {len(self.words)}; expected {expected} for {self.task}")


class Predictor(bundle.Predictor):
    Response: type[BaseModel] = Response

    def __init__(self, bundle: Bundle) -> None:
        self.words: list[str] = bundle.json("vocabulary.json")["words"]
        self.number = {word: place for place, word in enumerate(self.words)}
        self.places: list[list[float]] = bundle.json("map.json")["places"]
        known = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(self.known)]
        self.Request = create_model(
            "word2vec_request",
            __base__=Question,
            __config__=None,
            words=(list[known], Field([], max_length=3, description="as many as the task takes")),
        )
        self.Request.model_config["json_schema_extra"] = {"example": bundle.example[0]}
        self.session = bundle.session()

    def known(self, word: str) -> str:
        """The word as in the vocabulary, in small letters if it is there only so.

        Raises:
            ValueError: it is not there.
        """
        found = word.strip()
        for one in (found, found.lower()):
            if one in self.number:
                return one
        close = difflib.get_close_matches(found.lower(), self._candidates(found.lower()), n=3, cutoff=0.6)
        hint = f"; did you mean {', '.join(close)}?" if close else ""
        raise ValueError(f"found {found!r}, which is none of the {len(self.words):,} words known{hint}")

    def _candidates(self, word: str) -> list[str]:
        """Words of like length that share a letter at either end: comparing with all takes a tenth of a second."""
        return [
            one for one in self.words
            if abs(len(one) - len(word)) <= 2 and (one[0] == word[:1] or one[-1] == word[-1:] or len(word) <= 3)
        ]  # fmt: skip

    def predict(self, inputs: Sequence[Input]) -> list[BaseModel]:
        asked = [request for request in inputs if request.task != "map"]
        cosines = iter(self.run(asked)) if asked else iter(())
        return [self.mapped(one) if one.task == "map" else self.answer(one, next(cosines)) for one in inputs]

    def run(self, asked: Sequence[Input]) -> np.ndarray:
        """-> [n, vocab], rounded: the last digits of a float32 depend on the rest of the batch"""
        words = np.zeros((len(asked), 3), np.int64)
        signs = np.zeros((len(asked), 3), np.float32)
        for row, request in enumerate(asked):
            words[row, : len(request.words)] = [self.number[word] for word in request.words]
            signs[row, : len(request.words)] = SIGNS[request.task]
        (cosines,) = self.session.run(["cosines"], {"words": words, "signs": signs})
        return np.round(cosines, 5)

    def answer(self, request: Input, cosines: np.ndarray) -> BaseModel:
        """cosines: [vocab]"""
        numbers = [self.number[word] for word in request.words]
        if request.task == "similarity":
            return Response(task=request.task, similarity=float(cosines[numbers[1]]), nearest=None)
        cosines[numbers] = -np.inf
        top = min(request.top, len(cosines) - len(set(numbers)))
        best = np.argpartition(-cosines, top - 1)[:top] if top < len(cosines) else np.arange(len(cosines))
        best = best[np.lexsort((best, -cosines[best]))]
        return Response(
            task=request.task, similarity=None, nearest=[self.near(int(one), float(cosines[one])) for one in best]
        )

    def mapped(self, request: Input) -> BaseModel:
        nearest = [self.near(one, None) for one in range(min(request.top, len(self.places)))]
        return Response(task=request.task, similarity=None, nearest=nearest)

    def near(self, number: int, similarity: float | None) -> Near:
        x, y = self.places[number] if number < len(self.places) else (None, None)
        return {"word": self.words[number], "similarity": similarity, "x": x, "y": y}
