"""Byte-level BPE tokenizers as llama.cpp's `gpt2` model."""

from dataclasses import dataclass

from roadmap.data.weights import PublishedWeights
from roadmap.io.errors import UsageError
from roadmap.io.json import JsonObject

NORMAL, CONTROL = 1, 3  # llama.cpp's types of tokens
NEVER = "\u00ff"  # GPT-2's letter for byte 255, which is in no UTF-8 text


@dataclass(frozen=True)
class Vocabulary:
    """
    tokens      by id, in GPT-2's letters for bytes
    types       NORMAL or CONTROL
    merges      "a b" each, the first is tried first
    splitter    llama.cpp's name of the pre-tokenizer
    begin, end  ids
    template    of chats, Jinja; None if there is none
    """

    tokens: list[str]
    types: list[int]
    merges: list[str]
    splitter: str
    begin: int
    end: int
    template: str | None


def vocabulary_of(published: PublishedWeights) -> Vocabulary:
    """
    Raises:
        UsageError: the tokenizer is no byte-level BPE that llama.cpp splits text for, or has no token to end with.
    """
    whole = published.json("tokenizer.json")
    config = published.json("tokenizer_config.json") if "tokenizer_config.json" in published.files else {}
    model = whole["model"]
    splitter = splitter_of(whole.get("pre_tokenizer") or {})
    if model.get("type") != "BPE" or splitter is None:
        raise UsageError(
            f"tokenizer.json: found {model.get('type')} behind {kinds(whole.get('pre_tokenizer') or {})}; expected "
            "byte-level BPE, split as by GPT-2 or SmolLM; train with data.tokenizer=bpe"
        )
    ids: dict[str, int] = dict(model["vocab"])
    special = {one["content"]: one["id"] for one in whole.get("added_tokens", [])}
    ids |= special
    tokens = sorted(ids, key=lambda token: ids[token])
    if [ids[token] for token in tokens] != list(range(len(tokens))):
        raise UsageError("tokenizer.json: found ids with gaps; expected 0 to the size of the vocabulary")
    end = text_of(config.get("eos_token")) or NEVER
    if end not in ids:
        raise UsageError(f"tokenizer.json: found no token {end!r} to end with; expected one, or all 256 bytes")
    begin = text_of(config.get("bos_token"))
    return Vocabulary(
        tokens,
        [CONTROL if token in special or token == end else NORMAL for token in tokens],
        [merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]],
        splitter,
        ids.get(begin or end, ids[end]),
        ids[end],
        config.get("chat_template"),
    )


def splitter_of(pre: JsonObject) -> str | None:
    """llama.cpp's name, by what stands in the tokenizer."""
    names = {("ByteLevel",): "gpt-2", ("Digits", "ByteLevel"): "smollm"}
    parts = pre.get("pretokenizers", [pre])
    plain = all(not part.get("add_prefix_space") and part.get("use_regex", True) for part in parts)
    return names.get(tuple(part.get("type") for part in parts)) if plain else None


def kinds(pre: JsonObject) -> str:
    return " and ".join(str(part.get("type")) for part in pre.get("pretokenizers", [pre]))


def text_of(token: object) -> str | None:
    """Of a special token in a tokenizer_config.json, which is a text or an object."""
    return str(token["content"]) if isinstance(token, dict) else token if isinstance(token, str) else None
