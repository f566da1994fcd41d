"""One vocabulary for both languages, as the paper has (section 5.1): byte-pair encoding by the tokenizers library.

Spaces are part of the words behind them, written as in SentencePiece (Kudo and Richardson, 2018): a token begins a
word if it begins with U+2581. Chinese characters, digits and signs are tokens of their own, so that pairs are merged
within words only.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from tokenizers import Encoding, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

SPECIAL = ("<pad>", "<s>", "</s>", "<unk>")  # numbers 0 to 3; the networks know the first three
PAD, BEGIN, END, UNKNOWN = range(4)
ALONE = Regex(r"\p{Han}|\p{N}|(?![-\u2581])[\p{P}\p{S}]")


def train_tokenizer(texts: Iterable[str], vocabulary: int) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Metaspace(),
            pre_tokenizers.Split(ALONE, "isolated"),
            pre_tokenizers.Split("-", "merged_with_next"),  # twenty-three
        ]
    )
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.BpeTrainer(vocab_size=vocabulary, special_tokens=list(SPECIAL), show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def encode(tokenizer: Tokenizer, texts: Iterable[str]) -> list[list[int]]:
    encoded: list[Encoding] = tokenizer.encode_batch(list(texts), add_special_tokens=False)
    return [one.ids for one in encoded]


def padded(rows: Sequence[Sequence[int]]) -> tuple[np.ndarray, np.ndarray]:
    """-> int32 [n, longest] padded with PAD, lengths int64 [n]"""
    lengths = np.array([len(row) for row in rows])
    table = np.full((len(rows), lengths.max()), PAD, np.int32)
    table[np.arange(table.shape[1]) < lengths[:, None]] = np.concatenate([np.array(row, np.int32) for row in rows])
    return table, lengths
