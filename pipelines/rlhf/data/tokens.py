"""Texts as rows of tokens: what is given, what is written behind it, and where a text ends."""

import json
from collections.abc import Sequence

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from roadmap.io.json import JsonObject

END = "\n"  # ends a text
IGNORED = -100  # a target that torch's cross-entropy leaves out


def byte_pairs(texts: Sequence[str], vocabulary: int) -> Tokenizer:
    """GPT-2's byte-level byte-pair encoding, which can encode any text."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=vocabulary, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def tokenizer_of(card: JsonObject) -> Tokenizer:
    return Tokenizer.from_str(json.dumps(card["tokenizer"]))


def end_of(tokenizer: Tokenizer) -> int:
    return int(tokenizer.encode(END).ids[0])


def encode(tokenizer: Tokenizer, texts: Sequence[str]) -> list[list[int]]:
    """Each with its end."""
    end = end_of(tokenizer)
    return [[*one.ids, end] for one in tokenizer.encode_batch(list(texts))]


def padded(rows: Sequence[Sequence[int]], length: int, end: int) -> tuple[np.ndarray, np.ndarray]:
    """-> int64 [n, length]: tokens, cut or filled up with `end`; and the token after each, IGNORED if there is none"""
    tokens = np.full((len(rows), length), end, np.int64)
    targets = np.full((len(rows), length), IGNORED, np.int64)
    for number, row in enumerate(rows):
        some = row[: length + 1]
        tokens[number, : len(some[:length])] = some[:length]
        targets[number, : len(some) - 1] = some[1:]
    return tokens, targets


def texts_of(tokenizer: Tokenizer, tokens: np.ndarray, end: int) -> list[str]:
    """What was written, up to the first `end`. tokens: int [n, t]"""
    rows = [row[: row.index(end)] if end in row else row for row in tokens.tolist()]
    return list(tokenizer.decode_batch(rows))
