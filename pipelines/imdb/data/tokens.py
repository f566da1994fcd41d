"""Texts as tokens: the tokenizer, padded rows, and what embeddings begin with."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from tokenizers import Tokenizer

DIMENSIONS, WINDOW = 128, 5  # of the initial word vectors
POLARITIES = 16  # classes, up to which the initial embeddings have a column for each


def train_tokenizer(texts: Iterable[str], vocabulary: int, max_tokens: int) -> "Tokenizer":
    """Byte-pair encoding of lower-case words and punctuation (Sennrich et al., 2016).

    A run of Chinese characters counts as one word, in which merging finds the words. The JSON file has all steps from
    text to token ids, truncation at `max_tokens` included, so that training and serving can't differ.
    """
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Replace(Regex(r"(?i)<br\s*/?>"), " "), normalizers.NFKC(), normalizers.Lowercase()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        min_frequency=2,
        max_token_length=20,
        special_tokens=["[PAD]", "[UNK]"],
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.enable_truncation(max_tokens)
    return tokenizer


def encode(tokenizer: "Tokenizer", texts: Iterable[str]) -> list[list[int]]:
    """Token ids; a text without tokens becomes one unknown token."""
    return [encoding.ids or [1] for encoding in tokenizer.encode_batch_fast(list(texts))]


def padded(ids: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    """-> int32 [n, longest], int64 [n]"""
    lengths = np.array([len(row) for row in ids])
    tokens = np.zeros((len(ids), lengths.max()), np.int32)
    tokens[np.arange(tokens.shape[1]) < lengths[:, None]] = np.concatenate(ids)
    return tokens, lengths


def embedding(tokens: np.ndarray, lengths: np.ndarray, labels: np.ndarray, vocabulary: int, classes: int) -> np.ndarray:
    """Initial embeddings: the polarity of each token, then its similarity to others. float32 [vocabulary, d]"""
    ratios = log_count_ratios(tokens, labels, vocabulary, classes)
    return np.column_stack([ratios, word_vectors(tokens, lengths, vocabulary)])


def log_count_ratios(tokens: np.ndarray, labels: np.ndarray, vocabulary: int, classes: int) -> np.ndarray:
    """log p(token | class) / p(token | other classes), counting each token once per text (Wang and Manning, 2012).

    Of two classes the second: float32 [vocabulary]. Of more, each: [vocabulary, classes], or none beyond POLARITIES.
    """
    if classes > POLARITIES:
        return np.zeros((vocabulary, 0), np.float32)
    counts = np.ones((classes, vocabulary))
    for row, label in zip(tokens, labels.astype(int), strict=True):
        counts[label, np.unique(row)] += 1
    if classes == 2:
        bad, good = counts / counts.sum(axis=1, keepdims=True)
        return np.log(good / bad).astype(np.float32)
    others = counts.sum(axis=0) - counts
    ratios = np.log(counts / counts.sum(axis=1, keepdims=True)) - np.log(others / others.sum(axis=1, keepdims=True))
    return ratios.T.astype(np.float32)


def word_vectors(tokens: np.ndarray, lengths: np.ndarray, vocabulary: int) -> np.ndarray:
    """Word vectors from the training texts alone: float32 [vocabulary, at most DIMENSIONS].

    The leading singular vectors of the positive pointwise mutual information of tokens up to WINDOW apart, weighted by
    proximity (Levy, Goldberg and Dagan, "Improving Distributional Similarity", 2015).
    """
    from scipy import sparse
    from sklearn.utils.extmath import randomized_svd

    size = (vocabulary, vocabulary)
    pairs = sparse.csr_matrix(size, dtype=np.float32)
    for gap in range(1, WINDOW + 1):
        near, far = tokens[:, :-gap], tokens[:, gap:]
        real = np.arange(far.shape[1]) + gap < lengths[:, None]
        weights = np.full(np.count_nonzero(real), 1 / gap, np.float32)
        pairs += sparse.coo_matrix((weights, (near[real], far[real])), shape=size).tocsr()
    pairs = (pairs + pairs.T).tocoo()
    often = np.asarray(pairs.sum(axis=1)).ravel()
    context = often**0.75 / (often**0.75).sum()  # smoothed, or rare tokens would get high values
    with np.errstate(divide="ignore"):
        information = np.log(pairs.data / (often[pairs.row] * context[pairs.col]))
    pairs.data = np.maximum(information, 0).astype(np.float32)
    u, s, _ = randomized_svd(pairs.tocsr(), min(DIMENSIONS, vocabulary - 1), n_iter=2, random_state=0)
    vectors = u * np.sqrt(s)
    return (0.3 * vectors / (vectors.std() or 1)).astype(np.float32)
