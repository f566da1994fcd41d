"""Translation: Chinese numerals and English words (sample), Multi30k (full), Tatoeba, or pairs of your own."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
from tokenizers import Tokenizer

from pipelines.translation import settings
from pipelines.translation.data import corpora, numerals
from pipelines.translation.data.tokens import BEGIN, END, encode, padded, train_tokenizer
from roadmap import project
from roadmap.data import splits
from roadmap.data.splits import PreparedData
from roadmap.data.training_set import TrainingSet
from roadmap.io.errors import UsageError
from roadmap.io.json import JsonObject
from roadmap.project import Request

LICENCES = {
    "numerals": "ours",
    "multi30k": "not stated; of the texts CC BY-NC-SA 4.0 by the project's page: no commercial use",
    "tatoeba": "CC BY 2.0 (France); authors are named in the file's third column",
    "own": "yours",
}
FEWEST = 20  # pairs of a split
SIDES = ("source", "target")
# What is wanted of a test row; `kind` only of generated ones, and `longer` is a number of more digits than in training.
FIELDS = [("target", "O"), ("kind", "U8")]


class Data(project.Data[settings.Data]):
    def prepare(self, data: settings.Data, profile: str, seed: int) -> PreparedData:
        parts, source = pairs_of(data, seed)
        tokenizer = train_tokenizer((text for side in SIDES for text in parts["train"][side]), data.vocabulary)
        kept, dropped = {}, {}
        for name, part in parts.items():
            kept[name], dropped[name] = fitting(part, tokenizer, data.max_tokens)
            if len(kept[name]) < FEWEST:
                found = f"the {name} split has {len(kept[name])} pairs of at most {data.max_tokens} tokens"
                raise UsageError(
                    f"projects.translation.data: {found}; expected {FEWEST}; use more, or raise max_tokens"
                )
        schema = {"task": "translation", "source": data.source, "target": data.target, "max_tokens": data.max_tokens}
        schema |= {"corpus": data.corpus, "vocabulary": tokenizer.get_vocab_size()}
        notes = {"left_out": dropped, "tokenizer": json.loads(tokenizer.to_str())}
        return PreparedData(kept, source, LICENCES[data.corpus], schema, notes)

    def training(self, folder: Path) -> TrainingSet:
        """Token numbers int32 [n, longest] of sources, their lengths int64 [n], and targets; see `padded`."""
        card = splits.read_card(folder)
        tokenizer = tokenizer_of(card)
        arrays, longest = [], []
        for name in ("train", "val"):
            part = splits.read_table(folder, name)
            source, lengths = padded(encode(tokenizer, part["source"]))
            target, ends = padded([[BEGIN, *row, END] for row in encode(tokenizer, part["target"])])
            arrays.append((source, lengths, target))
            longest.append(np.maximum(lengths, ends))
        test = splits.read_table(folder, "test")
        example = [{"text": text} for text in test["source"][:2]]
        return TrainingSet(
            train=arrays[0],
            val=arrays[1],
            lengths=(longest[0], longest[1]),
            model={"vocab": card["schema"]["vocabulary"]},
            assets={"schema.json": card["schema"], "tokenizer.json": card["tokenizer"], "example.json": example},
        )

    def test_rows(self, folder: Path, split: str = "test") -> tuple[list[Request], np.ndarray]:
        """Requests, and FIELDS of each, [n]."""
        test = splits.read_table(folder, split)
        targets = np.zeros(len(test), FIELDS)
        for name in set(targets.dtype.names or ()) & set(test):
            targets[name] = test[name]
        return [{"text": text} for text in test["source"]], targets


def pairs_of(data: settings.Data, seed: int) -> tuple[dict[str, pd.DataFrame], str]:
    """Tables of `source`, `target` and perhaps `kind` by split, and where they are from."""
    if data.corpus == "numerals":
        return numerals.generate(data.rows, data.split, seed), "generated numbers, dates and times"
    if data.corpus == "multi30k":
        return corpora.multi30k(data.source, data.target), f"Multi30k, {data.source} to {data.target}"
    assert data.path is not None, "settings.py wants one"
    names = [data.path] if isinstance(data.path, str) else data.path
    table = corpora.own(data.path)
    if data.corpus == "tatoeba" and data.source != "en":  # its first column is English
        table = table.rename(columns={"source": "target", "target": "source"})
    kind = "Tatoeba" if data.corpus == "tatoeba" else "own"
    return corpora.cut(table, data.split, seed), f"{kind}:{' and '.join(Path(name).name for name in names)}"


def fitting(part: pd.DataFrame, tokenizer: Tokenizer, most: int) -> tuple[pd.DataFrame, int]:
    """The pairs with something on either side and at most so many tokens, BEGIN and END included; how many have not."""
    sizes = np.array([[len(row) for row in encode(tokenizer, part[side])] for side in SIDES])
    kept = (sizes.min(axis=0) > 0) & (sizes.max(axis=0) <= most - 2)
    return part[kept].reset_index(drop=True), int((~kept).sum())


def tokenizer_of(card: JsonObject) -> Tokenizer:
    return Tokenizer.from_str(json.dumps(card["tokenizer"]))
