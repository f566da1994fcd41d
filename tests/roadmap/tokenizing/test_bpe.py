"""roadmap/tokenizing: merges and tokens equal to the library's on English, Chinese and code; nothing is lost."""

import inspect
import json
import textwrap
from pathlib import Path
from pydoc_data import topics

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from roadmap.tokenizing import bpe
from roadmap.tokenizing.compare import Text, measure, rows
from roadmap.tokenizing.kinds import KINDS
from tests.support.checkouts import ROOT

TEXTS = {
    "English": topics.topics["assignment"] + topics.topics["with"] + topics.topics["for"],
    "Chinese": "".join((ROOT / "docs" / "zh" / f"{page}.md").read_text() for page in ("gate", "concepts")),
    "code": inspect.getsource(textwrap) + Path(bpe.__file__).read_text(),
}
each = pytest.mark.parametrize("language", TEXTS)


def library(lines: list[str], vocabulary: int) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        lines, trainers.BpeTrainer(vocab_size=vocabulary, initial_alphabet=alphabet, show_progress=False)
    )
    return tokenizer


@each
def test_merges_and_tokens_are_the_librarys(language: str) -> None:
    lines = TEXTS[language].splitlines(keepends=True)
    merges, theirs = bpe.train(lines, 900), library(lines, 900)
    names = {number: name for name, number in theirs.get_vocab().items()}
    expected = [tuple(pair) for pair in json.loads(theirs.to_str())["model"]["merges"]]
    assert [(names[left], names[right]) for left, right in merges] == expected
    encoder = bpe.Encoder(merges)
    for text in TEXTS.values():
        assert encoder.encode(text) == theirs.encode(text).ids
        assert encoder.decode(encoder.encode(text)) == text


def test_the_first_merges_by_hand() -> None:
    """aaab: the pair aa comes twice a word, ab once, from the left: aa a b."""
    merges = bpe.train(["aaab aaab aaab"], 258)
    a, b = bpe.ID[ord("a")], bpe.ID[ord("b")]
    assert merges == [(a, a), (a, b)]
    assert bpe.Encoder(merges).encode("aaab") == [256, 257]


def test_a_text_with_nothing_to_merge() -> None:
    assert bpe.train(["a b c"], 1000) == [(bpe.ID[32], bpe.ID[98]), (bpe.ID[32], bpe.ID[99])]
    assert bpe.train([], 1000) == [] and bpe.Encoder([]).encode("") == []


@pytest.mark.parametrize("text", ["\0\x7f é 汉字🙂", " \n\t  x", "\N{ZERO WIDTH JOINER}" * 3])
def test_any_text_comes_back(text: str) -> None:
    encoder = bpe.Encoder(bpe.train(TEXTS["English"].splitlines(keepends=True), 400))
    assert encoder.decode(encoder.encode(text)) == text


@pytest.mark.parametrize("kind", KINDS)
def test_a_larger_vocabulary_makes_longer_tokens_and_knows_every_byte(kind: str) -> None:
    lines = [line for text in TEXTS.values() for line in text.splitlines(keepends=True)]
    small, large = (KINDS[kind](lines, size) for size in (700, 1500))
    for text in TEXTS.values():
        assert len(large(text)) < len(small(text)) < len(text.encode())
    strange = "Ω≈ç√ 𝄞"
    assert 0 < len(small(strange)) <= len(strange.encode())
    assert 0 not in small(strange) or kind == "BPE", "0 is the unknown token of the others"


def test_bits_per_byte_of_a_uniform_model() -> None:
    """256 equally likely bytes are 8 bits each, and two bytes a token of 65,536 as well."""
    text = Text("ab" * 100, "abab")

    def uniform(train: np.ndarray, test: np.ndarray, vocabulary: int) -> np.ndarray:
        return np.full(len(test), 1 / 65_536)

    assert measure(lambda one: list(range(len(one) // 2)), text, uniform) == (2.0, 8.0)


def test_a_row_for_each_kind_and_size() -> None:
    texts = {name: Text(text, text[:500]) for name, text in TEXTS.items()}
    said: list[str] = []
    found = rows(texts, [700], lambda train, test, vocabulary: np.full(len(test), 0.5), said.append)
    assert [(row.kind, row.vocabulary) for row in found] == [("bytes", 256), *((kind, 700) for kind in KINDS)]
    assert found[0].bytes_per_token == dict.fromkeys(TEXTS, 1.0) and len(said) == len(found)
