"""Tokenizers: one token per character, or byte-pair encoding. Both are served from their JSON."""

import numpy as np
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

CHUNK = 1 << 16  # characters encoded at once


def characters(text: str) -> Tokenizer:
    """A token per distinct character, in the order of code points."""
    vocab = {character: number for number, character in enumerate(sorted(set(text)))}
    tokenizer = Tokenizer(models.WordLevel(vocab, unk_token=""))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    tokenizer.decoder = decoders.Fuse()
    return tokenizer


def byte_pairs(text: str, vocab: int) -> Tokenizer:
    """GPT-2's byte-level byte-pair encoding, which can encode any text."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=vocab, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(text.splitlines(keepends=True), trainer)
    return tokenizer


def encode(tokenizer: Tokenizer, text: str) -> np.ndarray:
    """-> int32 [tokens]. Encodes in chunks that end at a line break if possible."""
    chunks, start = [], 0
    while start < len(text):
        end = text.rfind("\n", start, start + CHUNK) + 1
        end = end if end > start and start + CHUNK < len(text) else start + CHUNK
        chunks.append(text[start:end])
        start = end
    encoded = tokenizer.encode_batch(chunks, add_special_tokens=False)
    return np.concatenate([np.array(one.ids, dtype=np.int32) for one in encoded])
