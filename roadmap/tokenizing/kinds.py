"""Tokenizers by name: ours, the library's WordPiece and Unigram, single bytes. All are of bytes: none loses text."""

from collections.abc import Callable, Sequence

from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from roadmap.tokenizing import bpe

Encode = Callable[[str], Sequence[int]]
UNKNOWN = "[UNK]"  # both want one; with all bytes in the alphabet it does not occur


def single_bytes(_: list[str], __: int) -> Encode:
    return lambda text: list(text.encode())


def byte_pairs(texts: list[str], vocabulary: int) -> Encode:
    """The most frequent pair is merged (Sennrich et al., 2016)."""
    return bpe.Encoder(bpe.train(texts, vocabulary)).encode


def word_piece(texts: list[str], vocabulary: int) -> Encode:
    """The longest known beginning, then the longest known continuation (Schuster and Nakajima, 2012; BERT)."""
    # Without BERT's ## before continuations, every byte is a token wherever it stands.
    model = models.WordPiece(unk_token=UNKNOWN, max_input_chars_per_word=100_000, continuing_subword_prefix="")
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocabulary,
        special_tokens=[UNKNOWN],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        continuing_subword_prefix="",
        show_progress=False,
    )
    return _trained(Tokenizer(model), texts, trainer)


def unigram(texts: list[str], vocabulary: int) -> Encode:
    """Of all ways to cut, the likeliest: tokens have probabilities (Kudo, 2018; T5)."""
    tokenizer = Tokenizer(models.Unigram())
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.UnigramTrainer(
        vocab_size=vocabulary,
        unk_token=UNKNOWN,
        special_tokens=[UNKNOWN],
        initial_alphabet=alphabet,
        show_progress=False,
    )
    return _trained(tokenizer, texts, trainer)


def _trained(tokenizer: Tokenizer, texts: list[str], trainer: trainers.Trainer) -> Encode:
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.train_from_iterator(texts, trainer)
    return lambda text: tokenizer.encode(text, add_special_tokens=False).ids


KINDS: dict[str, Callable[[list[str], int], Encode]] = {
    "BPE": byte_pairs,
    "WordPiece": word_piece,
    "Unigram": unigram,
}
