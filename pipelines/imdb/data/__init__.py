"""Sentiment: generated reviews (sample), Maas et al.'s 50,000 (full), ChnSentiCorp, or labelled texts of your own.

Your own may have any number of classes.
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from pipelines.imdb import settings
from pipelines.imdb.data.reviews import generate
from pipelines.imdb.data.tokens import embedding, encode, padded, train_tokenizer
from roadmap import project
from roadmap.data import splits, tables, texts
from roadmap.data.download import fetch
from roadmap.data.splits import PreparedData, split_indices
from roadmap.data.training_set import TrainingSet
from roadmap.inference.text import is_blank
from roadmap.io.errors import UsageError
from roadmap.project import Request, Row, Schema

# Maas, Daly, Pham, Huang, Ng and Potts, "Learning Word Vectors for Sentiment Analysis", ACL 2011.
IMDB = "https://ai.stanford.edu/~amaas/data/sentiment/aclImdb_v1.tar.gz"
IMDB_MD5 = "md5:7c2ac02c03563afcf9b574c7e56c153a"
HOTELS = (
    "https://raw.githubusercontent.com/SophonPlus/ChineseNlpCorpus/master/datasets/ChnSentiCorp_htl_all/"
    "ChnSentiCorp_htl_all.csv"
)
HOTELS_SHA256 = "sha256:1d414b9c65caf3a836abdb4efded621968502ad3338e1a9d885ae131c86083f0"
CHNSENTICORP = "chnsenticorp"

CLASSES = ["negative", "positive"]
HELD_OUT = 0.05  # fraction of the official training texts, for validation
EXPLAINED = 1_000  # test texts with contributions: enough to rank words
# Metadata of a test row; `truth` and the tags only for generated reviews.
FIELDS = [("label", "i8"), ("truth", "i8"), ("kind", "U16"), ("language", "U8")]


class Data(project.Data[settings.Data], project.TakesLabels):
    def prepare(self, data: settings.Data, profile: str, seed: int) -> PreparedData:
        classes = CLASSES
        if data.path is None and profile == "sample":
            frame = pd.DataFrame(vars(review) for review in generate(data.rows, seed))
            parts, dropped = cut(frame, data, seed, CLASSES)
            source, licence = "generated reviews", "ours"
        elif data.path == CHNSENTICORP:
            parts, dropped = cut(hotels(), data, seed, CLASSES)
            source, licence = "ChnSentiCorp, 7,765 hotel reviews", "not stated"
        elif data.path and data.target:
            frame, classes = own_table(data)
            parts, dropped = cut(frame, data, seed, classes)
            source, licence = f"{settings.kind_of(data.path)}:{Path(data.path).name}", "yours"
        else:
            found, classes = texts.from_files(Path(data.path) if data.path else fetch("imdb", IMDB, IMDB_MD5))
            parts, dropped = official(found, seed) if "test" in found else cut(found[""], data, seed, classes)
            layout = "aclImdb layout" if "test" in found else "folders"
            source, licence = "IMDB" if data.path is None else f"{layout}:{Path(data.path).name}", "not stated"
        for why, count in dropped.items():
            print(f"{source}: {count:,} texts skipped ({why})")
        schema = {
            "task": "text",
            "text": "text",
            "target": "label",
            "classes": classes,
            "vocabulary": data.vocabulary,
            "max_tokens": data.max_tokens,
        }
        return PreparedData(splits=parts, source=source, licence=licence, schema=schema, notes={"left_out": dropped})

    def labelled(self, request: Request, schema: Schema) -> Row | None:
        text = request.get("text")
        return {"text": text} if isinstance(text, str) and text.strip() else None

    def training(self, folder: Path) -> TrainingSet:
        """Token ids int32 [n, most] padded with 0, lengths int64 [n], numbers of the classes float32 [n]."""
        schema = splits.read_card(folder)["schema"]
        train, val = (splits.read_table(folder, name) for name in ("train", "val"))
        tokenizer = train_tokenizer(train["text"], schema["vocabulary"], schema["max_tokens"])
        parts = [
            (*padded(encode(tokenizer, part["text"])), part["label"].to_numpy(np.float32)) for part in (train, val)
        ]
        classes = len(schema["classes"])
        example = [{"text": train["text"][int((train["label"] == label).argmax())]} for label in (1, 0)]
        return TrainingSet(
            train=parts[0],
            val=parts[1],
            lengths=(parts[0][1], parts[1][1]),
            model={"embedding": embedding(*parts[0], tokenizer.get_vocab_size(), classes), "classes": classes},
            assets={"schema.json": schema, "tokenizer.json": json.loads(tokenizer.to_str()), "example.json": example},
        )

    def test_rows(self, folder: Path, split: str = "test") -> tuple[list[Request], np.ndarray]:
        """Requests, and FIELDS of each, [n]; for real texts the tags are empty and the truth is -1."""
        test = splits.read_table(folder, split)
        requests = [{"text": text, "explain": row < EXPLAINED} for row, text in enumerate(test["text"])]
        targets = np.zeros(len(test), FIELDS)
        targets["truth"] = -1
        for name, _ in FIELDS:
            if name in test:
                targets[name] = test[name]
        return requests, targets


def hotels() -> pd.DataFrame:
    """ChnSentiCorp's hotel reviews; one is empty."""
    return texts.from_csv(str(fetch("imdb_zh", HOTELS, HOTELS_SHA256)), "review", "label")[0]


def own_table(data: settings.Data) -> tuple[pd.DataFrame, list[str]]:
    """-> texts with the numbers of their classes, names of the classes

    Raises:
        UsageError: no column is named, or the file is unreadable.
    """
    if data.path is None or data.text is None or data.target is None:
        raise UsageError("data.path, data.text, data.target: one is missing; a table needs them all")
    read = texts.from_json_lines if settings.kind_of(data.path) == "jsonl" else texts.from_csv
    return read(data.path, data.text, data.target)


def cut(
    frame: pd.DataFrame, data: settings.Data, seed: int, classes: list[str]
) -> tuple[dict[str, pd.DataFrame], dict[str, int]]:
    """A random split, each text once: a repeated one would stand in train and in test.

    Raises:
        UsageError: no row has a text, or a split has too few rows of a class.
    """
    known = frame[frame["text"].map(lambda text: isinstance(text, str) and not is_blank(text))]
    if known.empty:
        raise UsageError(f"{len(frame)} rows have no text; expected some in the column that data.text names")
    kept = known.drop_duplicates("text").reset_index(drop=True)
    dropped = {"empty": len(frame) - len(known), "repeated": len(known) - len(kept)}
    rows = split_indices(len(kept), data.split, seed, strata=kept["label"].to_numpy())
    parts = {name: kept.iloc[index].reset_index(drop=True) for name, index in rows.items()}
    tables.check_enough({name: part["label"] for name, part in parts.items()}, data.path or "the sample", classes)
    return parts, dropped


def official(found: dict[str, pd.DataFrame], seed: int) -> tuple[dict[str, pd.DataFrame], dict[str, int]]:
    """The published split. Validation is taken from train, and training texts that test has too are dropped."""
    train, test = found["train"], found["test"]
    unseen = train[~train["text"].isin(set(test["text"]))]
    kept = unseen.drop_duplicates("text").reset_index(drop=True)
    dropped = {"of train, in test too": len(train) - len(unseen), "repeated in train": len(unseen) - len(kept)}
    rows = split_indices(len(kept), (1 - HELD_OUT, HELD_OUT, 0), seed, strata=kept["label"].to_numpy())
    parts = {name: kept.iloc[rows[name]].reset_index(drop=True) for name in ("train", "val")}
    return parts | {"test": test.reset_index(drop=True)}, dropped
