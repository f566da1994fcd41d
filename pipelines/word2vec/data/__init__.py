"""word2vec's texts and questions: generated (sample), novels in two languages (full), or a text of your own."""

from collections import Counter
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipelines.word2vec import settings
from pipelines.word2vec.data import questions, sample, texts
from pipelines.word2vec.data.questions import Question
from roadmap import project
from roadmap.data import splits
from roadmap.data.splits import PreparedData
from roadmap.data.training_set import TrainingStream
from roadmap.io.errors import UsageError
from roadmap.io.json import JsonObject
from roadmap.project import Request

if TYPE_CHECKING:
    from pytorch_lightning import LightningDataModule, LightningModule  # noqa: TID251 (types)

    from roadmap.config.settings import TrainSettings

LANGUAGES = ("en", "zh")
FEWEST = 2_000  # words of a text
# Of a question: its set and kind, the answer's number or -1, people's score, and how many of the set are known and not.
FIELDS = [("set", "U40"), ("pair", "?"), ("answer", "U40"), ("score", "f8"), ("known", "i8"), ("unknown", "i8")]


class Data(project.Data[settings.Data]):
    def prepare(self, data: settings.Data, profile: str, seed: int) -> PreparedData:
        if data.path is not None:
            found, asked = texts.own(Path(data.path)), questions.official() if profile == "full" else []
            source, licence = f"text:{Path(data.path).name}", "yours"
        elif profile == "sample":
            found = sample.generate(data.sentences, seed)
            asked = [Question(*one) for one in sample.questions(seed)]
            source, licence = "generated sentences in English and Chinese", "ours"
        else:
            found, asked = official()
            source, licence = "six English and four Chinese novels, and lyrics of the Song", "public domain"
        counts = Counter(chain.from_iterable(words for _, words in found))
        vocabulary = [word for word, count in counts.most_common() if count >= data.min_count]
        number = {word: place for place, word in enumerate(vocabulary)}
        if sum(counts[word] for word in vocabulary) < FEWEST:
            raise UsageError(
                f"projects.word2vec.data: found fewer than {FEWEST:,} words that occur {data.min_count} times; "
                "expected more text; lower min_count or give a longer one"
            )
        rng = np.random.default_rng(seed)
        held_out = rng.random(len(found)) < data.split[1]
        parts = {
            name: as_arrays([one for one, out in zip(found, held_out, strict=True) if out == (name == "val")], number)
            for name in ("train", "val")
        }
        if len(parts["val"]["words"]) < data.block:
            raise UsageError(
                f"projects.word2vec.data.split: found {len(parts['val']['words'])} words for validation; expected "
                f"{data.block} and more; raise the second share or use more text"
            )
        asked = asked or neighbours_of(parts["train"], vocabulary, rng)
        test = as_questions(asked, number)
        parts["train"] |= {
            "vocabulary": np.array(vocabulary),
            "counts": np.array([counts[word] for word in vocabulary]),
        }
        known = {str(row["set"]): [int(row["known"]), int(row["unknown"])] for row in test["rows"]}
        schema = {
            "vocabulary": len(vocabulary),
            "window": data.window,
            "subsample": data.subsample,
            "block": data.block,
            "width": data.width,
        }
        notes = {"words": sum(counts.values()), "known_and_unknown_questions": known}
        return PreparedData(parts | {"test": test}, source, licence, schema, notes)

    def training(self, folder: Path) -> TrainingStream:
        from pipelines.word2vec.data.blocks import Corpus, Text
        from pipelines.word2vec.data.map import places

        schema = splits.read_card(folder)["schema"]
        train, val = (splits.read_arrays(folder, name) for name in ("train", "val"))
        columns = ("words", "sentences", "languages")
        both = [Text(*(part[name].astype(np.int64) for name in columns)) for part in (train, val)]
        corpus = Corpus(both[0], both[1], schema["window"], schema["block"])
        vocabulary = train["vocabulary"].tolist()
        requests, _ = self.test_rows(folder)
        example = [{"task": "neighbours", "words": [requests[0]["words"][0]], "top": 10}, {**requests[0], "top": 5}]

        def module(settings: "TrainSettings", seed: int) -> "LightningDataModule":
            from pipelines.word2vec.data.batches import Batches

            return Batches(corpus, settings, seed)

        def assets(network: "LightningModule") -> JsonObject:
            return {
                "schema.json": schema,
                "vocabulary.json": {"words": vocabulary},
                "map.json": places(network.get_parameter("words").numpy(force=True)),
                "example.json": example,
            }

        return TrainingStream(
            module=module,
            example=(np.array([[0, 1, 2], [1, 0, 0]]), np.array([[-1, 1, 1], [1, 0, 0]], np.float32)),
            model={"counts": train["counts"], **{name: schema[name] for name in ("subsample", "window", "width")}},
            assets=assets,
        )

    def test_rows(self, folder: Path, split: str = "test") -> tuple[list[Request], np.ndarray]:
        """The questions whose words are all known, and FIELDS of each, [n]."""
        found = splits.read_arrays(folder, split)
        requests: list[Request] = []
        for words, row in zip(found["words"].tolist(), found["rows"], strict=True):
            used = words[: 2 if row["pair"] else 3]
            requests.append({"task": "similarity" if row["pair"] else "analogy", "words": used, "top": 10})
        return requests, found["rows"]


def official() -> tuple[sample.Sentences, list[Question]]:
    """The novels and lyrics, and the published questions.

    Raises:
        UsageError: a file can't be had, or its checksum differs.
    """
    try:
        return texts.official(), questions.official()
    except UsageError as error:
        where = "its publisher has the files, not this archive of them (pipelines/word2vec/README.md)"
        own = "profile=sample projects.word2vec.data.path=my.txt learns from a text of your own"
        raise type(error)(f"{error}; {where}; {own}") from None


def as_arrays(found: sample.Sentences, number: dict[str, int]) -> dict[str, np.ndarray]:
    """Known words as numbers, and the sentence and the language of each: int32 [t]"""
    kept = [[number[word] for word in words if word in number] for _, words in found]
    lengths = [len(words) for words in kept]
    return {
        "words": np.fromiter(chain.from_iterable(kept), np.int32, sum(lengths)),
        "sentences": np.repeat(np.arange(len(found), dtype=np.int32), lengths),
        "languages": np.repeat(np.array([LANGUAGES.index(name) for name, _ in found], np.int32), lengths),
    }


def as_questions(asked: list[Question], number: dict[str, int]) -> dict[str, np.ndarray]:
    """words [n, 4] and FIELDS [n], of the questions whose words are all known.

    Raises:
        UsageError: there is none.
    """
    known, unknown = Counter[str](), Counter[str]()
    kept = []
    for one in asked:
        fine = all(word in number for word in one[1:5] if word)
        (known if fine else unknown)[one.set] += 1
        if fine:
            kept.append(one)
    if not any(one.d for one in kept):
        raise UsageError("projects.word2vec.data: found no analogy whose words all occur in the text; use more text")
    rows = [(one.set, not one.d, one.d, one.score, known[one.set], unknown[one.set]) for one in kept]
    return {"words": np.array([one[1:5] for one in kept]), "rows": np.array(rows, FIELDS)}


def neighbours_of(part: dict[str, np.ndarray], vocabulary: list[str], rng: np.random.Generator) -> list[Question]:
    """Questions out of the text itself, for a text that no published set fits: a is to b as a is to what? The answer,
    b, is a word that often stands beside it. They tell whether anything was learnt, not how much."""
    words, sentences = part["words"], part["sentences"]
    beside = sentences[1:] == sentences[:-1]
    found = Counter(zip(words[:-1][beside].tolist(), words[1:][beside].tolist(), strict=True))
    often = [pair for pair, _ in found.most_common(400) if pair[0] != pair[1]]
    return [Question("beside", *(vocabulary[n] for n in (a, b, a, b))) for a, b in often[:200]]
