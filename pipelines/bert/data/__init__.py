"""BERT's texts: generated requests (sample), SST-2 (full), THUCNews titles, reviews of IMDB, or texts of your own."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pipelines.bert import settings
from pipelines.bert.data import corpora, requests
from pipelines.bert.data.tokens import MASK, SPECIAL, encode, published_tokenizer, train_tokenizer
from roadmap import project
from roadmap.data import splits, tables, texts, weights
from roadmap.data.splits import PreparedData, split_indices
from roadmap.data.training_set import Fits, Networks, TrainingSet
from roadmap.inference.text import is_blank
from roadmap.inference.text.scope import Scope
from roadmap.io.errors import UsageError
from roadmap.io.json import JsonObject
from roadmap.project import Request, Row, Schema

if TYPE_CHECKING:
    from tokenizers import Tokenizer

HELD_OUT = 0.05  # of the texts of a published train, for validation
OUTSIDE = "outside"  # a further split: requests that belong to no class
UNLABELLED = "unlabelled"  # and training texts whose labels are not used
NONE = -1  # their class
EXPLAINED = range(200, 250)  # test texts with contributions; not the first, whose latency is measured
SCOPED = 10_000  # training texts that the scope is fitted to, at most
TAGS = ("kind", "language")  # of generated requests
FIELDS = [("label", "i8"), ("kind", "U16"), ("language", "U8")]  # of a test row


class Data(project.Data[settings.Data], project.TakesLabels):
    def prepare(self, data: settings.Data, profile: str, seed: int) -> PreparedData:
        """Splits train, val and test; of the generated requests, also OUTSIDE and UNLABELLED."""
        parts, classes, source, licence = rows_of(data, seed)
        dropped = {name: len(part) - len(kept) for name, part in parts.items() if len(kept := tidy(part)) < len(part)}
        parts = {name: tidy(part) for name, part in parts.items()}
        unseen = ~parts["train"]["text"].isin(set(parts["test"]["text"]))
        dropped["train, in test too"] = int((~unseen).sum())
        parts["train"] = parts["train"][unseen].reset_index(drop=True)
        if data.set != "requests" and data.rows:
            parts["train"] = thinned(parts["train"], data.rows, seed)[0]
        if data.labelled:
            parts["train"], parts[UNLABELLED] = thinned(parts["train"], data.labelled, seed)
        tables.check_enough({name: parts[name]["label"] for name in splits.SPLITS}, source, classes)
        schema: JsonObject = {"task": "text", "text": "text", "target": "label", "classes": classes}
        schema |= {"vocabulary": data.vocabulary, "max_tokens": data.max_tokens}
        notes: JsonObject = {"left_out": {why: count for why, count in dropped.items() if count}}
        files: dict[str, Path] = {}
        if data.weights.path:
            found = weights.find(data.weights.path, data.weights.sha256)
            files, notes["weights"] = found.files, found.card
            longest = found.json("config.json").get("max_position_embeddings", data.max_tokens)
            if data.max_tokens > longest:
                excess = f"data.max_tokens: found {data.max_tokens}; expected at most {longest}"
                raise UsageError(f"{excess}, as many as {found.source} has positions")
            print(f"weights: {found.source}, sha256 {found.sha256[:12]}, licence {found.licence}")
        return PreparedData(parts, source, licence, schema, notes, files)

    def labelled(self, request: Request, schema: Schema) -> Row | None:
        text = request.get("text")
        return {"text": text} if isinstance(text, str) and text.strip() else None

    def training(self, folder: Path) -> Fits:
        """Pre-training: token ids int32 [n, most] padded with 0, lengths int64 [n], twice, for a target must be there.
        The classifier: ids, lengths, numbers of the classes int64 [n]."""
        card = splits.read_card(folder)
        schema, found = card["schema"], card.get("weights")
        train, val = (splits.read_table(folder, name) for name in ("train", "val"))
        tokenizer = tokenizer_of(folder)
        start: object = {"vocab": tokenizer.get_vocab_size(), "context": schema["max_tokens"]}
        if found:
            start = {
                "config": json.loads((folder / "config.json").read_bytes()),
                "state": weights.load(folder / weights.WEIGHTS, found["sha256"]),
            }
        parts = [(*encode(tokenizer, part["text"]), part["label"].to_numpy(np.int64)) for part in (train, val)]
        special = tuple(tokenizer.token_to_id(token) for token in SPECIAL)
        model = {"start": start, "mask": tokenizer.token_to_id(MASK), "special": special}

        def pretrain(_: Networks) -> TrainingSet:
            every = encode(tokenizer, training_texts(folder))
            return TrainingSet(train=every, val=parts[1][:2], lengths=(every[1], parts[1][1]), model=model)

        def classify(earlier: Networks) -> TrainingSet:
            changes = {"start": earlier["pretrain"].bert} if "pretrain" in earlier else {}
            first, second = (train["text"][int((train["label"] == label).argmax())] for label in (1, 0))
            example = [{"text": first}, {"text": second, "explain": True}]
            return TrainingSet(
                train=parts[0],
                val=parts[1],
                lengths=(parts[0][1], parts[1][1]),
                model={**model, **changes, "classes": len(schema["classes"])},
                assets=lambda network: {
                    "schema.json": schema,
                    "example.json": example,
                    **assets_of(network, tokenizer, parts),
                },
            )

        return {"pretrain": pretrain, "model": classify}

    def test_rows(self, folder: Path, split: str = "test") -> tuple[list[Request], np.ndarray]:
        """Requests, and FIELDS of each, [n]: of the test split also those of no class, whose label is NONE."""
        parts = [splits.read_table(folder, split)]
        if split == "test" and splits.has(folder, OUTSIDE):
            parts.append(splits.read_table(folder, OUTSIDE))
        test = pd.concat(parts, ignore_index=True)
        found = [{"text": text, "explain": row in EXPLAINED} for row, text in enumerate(test["text"])]
        targets = np.zeros(len(test), FIELDS)
        for name, _ in FIELDS:
            if name in test:
                targets[name] = test[name]
        return found, targets


def rows_of(data: settings.Data, seed: int) -> tuple[corpora.Frames, list[str], str, str]:
    """-> splits, names of the classes, the source, its licence

    Raises:
        UsageError: the set isn't where `path` says, or has other lines.
    """
    if data.set == "requests":
        rows = data.rows or 6000
        frame = frame_of(requests.generate(rows, seed))
        parts = cut(frame, data, seed) | {OUTSIDE: frame_of(requests.generate_outside(max(100, rows // 50), seed))}
        return parts, requests.INTENTS, "generated requests", "ours"
    if data.set == "own":
        return own(data, seed)
    if data.set == "imdb":
        found, classes = corpora.reviews(data.path), list(corpora.SST2.classes)
        return held_out(found, seed), classes, "IMDB", "not stated"
    table = corpora.SST2 if data.set == "sst2" else corpora.THUCNEWS
    return held_out(corpora.read(table, data.path), seed), list(table.classes), table.name, table.licence


def own(data: settings.Data, seed: int) -> tuple[corpora.Frames, list[str], str, str]:
    """A table, or a folder or archive with a file per text: see `rows_of`."""
    path = data.path or ""
    if data.text and data.target:
        read = texts.from_json_lines if path.lower().endswith(".jsonl") else texts.from_csv
        frame, classes = read(path, data.text, data.target)
        parts = cut(frame, data, seed)
    else:
        found, classes = texts.from_files(Path(path))
        parts = held_out(found, seed) if "test" in found else cut(found[""], data, seed)
    return parts, classes, f"own:{Path(path).name}", "yours"


def frame_of(asked: list[requests.Asked]) -> pd.DataFrame:
    frame = pd.DataFrame([(one.text, one.intent, one.kind, one.language) for one in asked])
    frame.columns = pd.Index(["text", "label", *TAGS])
    frame["label"] = [NONE if intent is None else requests.INTENTS.index(intent) for intent in frame["label"]]
    return frame


def tidy(frame: pd.DataFrame) -> pd.DataFrame:
    """Without blank texts, and each text once: a repeated one would stand in train and in test."""
    known = frame[frame["text"].map(lambda text: isinstance(text, str) and not is_blank(text))]
    if known.empty:
        raise UsageError(f"{len(frame)} rows have no text; expected some")
    return known.drop_duplicates("text").reset_index(drop=True)


def cut(frame: pd.DataFrame, data: settings.Data, seed: int) -> corpora.Frames:
    """A random split, the same share of each class in all parts."""
    kept = tidy(frame)
    rows = split_indices(len(kept), data.split, seed, strata=kept["label"].to_numpy())
    return {name: kept.iloc[index].reset_index(drop=True) for name, index in rows.items()}


def held_out(found: corpora.Frames, seed: int) -> corpora.Frames:
    """The published split, with a part of train as validation."""
    train = tidy(found["train"])
    rows = split_indices(len(train), (1 - HELD_OUT, HELD_OUT, 0), seed, strata=train["label"].to_numpy())
    return {name: train.iloc[rows[name]].reset_index(drop=True) for name in ("train", "val")} | {"test": found["test"]}


def thinned(frame: pd.DataFrame, rows: int, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """At most so many rows, with the same share of each class; and the others."""
    share = min(1.0, rows / len(frame))
    chosen = split_indices(len(frame), (share, 1 - share, 0), seed, strata=frame["label"].to_numpy())
    return frame.iloc[chosen["train"]].reset_index(drop=True), frame.iloc[chosen["val"]].reset_index(drop=True)


def training_texts(folder: Path) -> pd.Series:
    """With and without a label."""
    names = ["train", *([UNLABELLED] if splits.has(folder, UNLABELLED) else [])]
    return pd.concat([splits.read_table(folder, name)["text"] for name in names], ignore_index=True)


def tokenizer_of(folder: Path) -> "Tokenizer":
    """That of the weights, or one that is trained on the training texts."""
    card = splits.read_card(folder)
    schema = card["schema"]
    if not card.get("weights"):
        return train_tokenizer(training_texts(folder), schema["vocabulary"], schema["max_tokens"])
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_bytes()) if path.exists() else {}
    return published_tokenizer(folder, config, schema["max_tokens"])


def assets_of(network: Any, tokenizer: "Tokenizer", parts: Sequence[tuple[np.ndarray, ...]]) -> JsonObject:
    """What the predictor needs of the trained network. parts: ids, lengths and classes, of train and val"""
    some = slice(None, None, -(-len(parts[0][0]) // SCOPED))
    parts = [tuple(array[some] for array in parts[0]), parts[1]]
    found = [vectors_of(network, tokens, lengths) for tokens, lengths, _ in parts]
    return {
        "tokenizer.json": json.loads(tokenizer.to_str()),
        "scope.json": Scope.fit(found[0], parts[0][2], found[1]).json,
        **(weights.files_of(**network.published()) if network.publish else {}),
    }


def vectors_of(network: Any, tokens: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Sentence vectors of the trained network. tokens: int [n, t], lengths: int [n] -> [n, width]"""
    import torch

    ((_, graph),) = network.graphs(tuple(map(torch.from_numpy, (tokens[:2], lengths[:2])))).items()
    found = np.zeros((len(tokens), network.bert.shape.width), np.float32)
    order = np.argsort(lengths, kind="stable")
    with torch.no_grad():
        for rows in np.array_split(order, -(-len(order) // 256)):
            batch = torch.from_numpy(tokens[rows][:, : lengths[rows].max()]).long()
            seen = torch.arange(batch.shape[1]) < torch.from_numpy(lengths[rows])[:, None]
            found[rows] = graph.module(batch, seen)[1].float().numpy()
    return found
