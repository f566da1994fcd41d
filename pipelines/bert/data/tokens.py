"""Texts as tokens: the tokenizer that comes with weights, or one of the project's own."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from roadmap.io.errors import UsageError
from roadmap.io.json import JsonObject

if TYPE_CHECKING:
    from tokenizers import Tokenizer

PAD, UNKNOWN, FIRST, LAST, MASK = SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
LONGEST = 20  # characters of a token


def train_tokenizer(texts: Iterable[str], vocabulary: int, max_tokens: int) -> "Tokenizer":
    """Byte-pair encoding of lower-case words and punctuation (Sennrich et al., 2016), between [CLS] and [SEP].

    A run of Chinese characters counts as one word, in which merging finds the words: half as many tokens as
    characters. The JSON file has all steps from text to ids, so that training and serving can't differ.
    """
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE(unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        min_frequency=2,
        max_token_length=LONGEST,
        special_tokens=list(SPECIAL),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return framed(tokenizer, max_tokens)


def published_tokenizer(folder: Path, config: JsonObject, max_tokens: int) -> "Tokenizer":
    """The tokenizer beside published weights: tokenizer.json, or WordPiece from vocab.txt.

    config: of tokenizer_config.json, which says of a vocab.txt whether it is in lower case

    Raises:
        UsageError: it is no tokenizer, or has not the special tokens of BERT.
    """
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

    whole, words = folder / "tokenizer.json", folder / "vocab.txt"
    try:
        if whole.exists():
            tokenizer = Tokenizer.from_file(str(whole))
        else:
            vocabulary = {word: i for i, word in enumerate(words.read_text("utf-8").splitlines())}
            tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token=UNKNOWN))
            tokenizer.normalizer = normalizers.BertNormalizer(lowercase=bool(config.get("do_lower_case", True)))
            tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
            tokenizer.decoder = decoders.WordPiece()
    except Exception as error:  # the library raises plain ones
        raise UsageError(f"{whole if whole.exists() else words}: found no tokenizer ({error}); get it again") from None
    if missing := [token for token in SPECIAL if tokenizer.token_to_id(token) is None]:
        raise UsageError(f"{folder}: tokenizer: found no {', '.join(missing)}; expected the tokenizer of a BERT")
    return framed(tokenizer, max_tokens)


def framed(tokenizer: "Tokenizer", max_tokens: int) -> "Tokenizer":
    """[CLS] before and [SEP] behind each text; longer ones are truncated, and none is padded."""
    from tokenizers import processors

    first, last = ((token, int(tokenizer.token_to_id(token) or 0)) for token in (FIRST, LAST))
    tokenizer.post_processor = processors.BertProcessing(last, first)
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_tokens)
    return tokenizer


def encode(tokenizer: "Tokenizer", texts: Iterable[str]) -> tuple[np.ndarray, np.ndarray]:
    """-> int32 [n, longest], padded with 0; int64 [n], their lengths"""
    ids = [encoding.ids for encoding in tokenizer.encode_batch_fast(list(texts))]
    lengths = np.array([len(row) for row in ids], np.int64)
    tokens = np.zeros((len(ids), int(lengths.max())), np.int32)
    tokens[np.arange(tokens.shape[1]) < lengths[:, None]] = np.concatenate(ids)
    return tokens, lengths
