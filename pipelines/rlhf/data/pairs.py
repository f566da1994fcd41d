"""Pairs of texts for the reward model, as tokens: int64 [n, p + t], the preferred ones and the others."""

from collections.abc import Mapping
from typing import Protocol

import numpy as np
import pandas as pd
import torch
from tokenizers import Tokenizer
from torch import Tensor

from pipelines.rlhf.data.judges import judge_of
from pipelines.rlhf.data.preferences import FIELDS
from pipelines.rlhf.data.tokens import padded, texts_of
from roadmap.data.splits import split_indices
from roadmap.io.json import JsonObject

Pairs = tuple[np.ndarray, np.ndarray]
VALIDATED = 500  # pairs, without disagreement
HELD_OUT = 0.2  # of the pairs of a file


class Writer(Protocol):
    """A network that continues prompts: models/decoders/rlhf/texts.py says how."""

    def write(self, prompts: Tensor, new: int, end: int, generator: torch.Generator) -> tuple[Tensor, Tensor]: ...


def judged(
    writer: Writer, prompts: Mapping[str, np.ndarray], tokenizer: Tokenizer, schema: JsonObject, end: int
) -> tuple[Pairs, Pairs]:
    """Pairs on the prompts of train and val, int64 [m, p]. Which one people prefer is drawn, as Bradley and Terry
    (1952) have it: by the logistic function of the difference, over `noise`. Ties are left out."""
    judge, sizes = judge_of(schema), {"train": schema["pairs"], "val": VALIDATED}

    def of(split: str, seed: int) -> Pairs:
        generator = torch.Generator().manual_seed(seed)
        rows = torch.randint(len(prompts[split]), (sizes[split],), generator=generator)
        chosen = torch.from_numpy(prompts[split])[rows].repeat_interleave(2, dim=0)
        tokens = writer.write(chosen, schema["new"], end, generator)[0].numpy()
        rewards = judge(texts_of(tokenizer, tokens[:, schema["prompt"] :], end)).reshape(-1, 2)
        tokens, gap = tokens.reshape(len(rewards), 2, -1), rewards[:, 0] - rewards[:, 1]
        first = gap > 0
        if split == "train" and schema["noise"]:
            first = np.random.default_rng(seed).random(len(gap)) < 1 / (1 + np.exp(-gap / schema["noise"]))
        order = np.where(first, 0, 1)[gap != 0]
        told, places = tokens[gap != 0], np.arange(len(order))
        return told[places, order], told[places, 1 - order]

    return of("train", 1), of("val", 2)


def of_file(given: pd.DataFrame, tokenizer: Tokenizer, schema: JsonObject, end: int) -> tuple[Pairs, Pairs]:
    """given: columns FIELDS. Of a prompt the last tokens count, of a text the first; a short prompt is filled up."""
    p, columns = schema["prompt"], {}
    for name in FIELDS:
        columns[name] = [one.ids for one in tokenizer.encode_batch(list(given[name]))]
    prompts = [[end] * max(0, p - len(row)) + row[-p:] for row in columns["prompt"]]
    both = [
        padded([[*a, *b, end] for a, b in zip(prompts, columns[name], strict=True)], p + schema["new"], end)[0]
        for name in FIELDS[1:]
    ]
    parts = split_indices(len(given), (1 - HELD_OUT, HELD_OUT, 0), 0)
    train, val = ((both[0][parts[name]], both[1][parts[name]]) for name in ("train", "val"))
    return train, val
