"""A text corpus: CPython's own documentation (sample), tiny-shakespeare (full), or a file of your own."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from pipelines.mini_gpt import settings
from pipelines.mini_gpt.data import tokens
from roadmap import project
from roadmap.data import splits, weights
from roadmap.data.download import fetch
from roadmap.data.splits import SPLITS, PreparedData
from roadmap.data.training_set import TrainingSet
from roadmap.io.errors import UsageError
from roadmap.io.json import JsonObject
from roadmap.io.texts import decoded
from roadmap.project import Request

URL = "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt"
SHA256 = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"
PROMPTS = ("The ", "In ")  # in the endpoint's example


class Data(project.Data[settings.Data]):
    def prepare(self, data: settings.Data, profile: str, seed: int) -> PreparedData:
        text, source, licence = corpus(data, profile)
        cuts = np.round(np.cumsum(data.split)[:2] * len(text)).astype(int)
        parts = dict(zip(SPLITS, (text[: cuts[0]], text[cuts[0] : cuts[1]], text[cuts[1] :]), strict=True))
        # From all of the text: the alphabet of the test split is not a secret.
        tokenizer = (
            tokens.characters(text) if data.tokenizer == "char" else tokens.byte_pairs(parts["train"], data.vocab)
        )
        arrays = {}
        for name, part in parts.items():
            encoded = tokens.encode(tokenizer, part)
            if len(encoded) <= 2 * data.block:
                raise UsageError(
                    f"params.yaml: projects.mini_gpt.data: the {name} split has {len(encoded)} tokens; expected more "
                    f"than {2 * data.block} for a context of {data.block}; use more text or a smaller block"
                )
            arrays[name] = {"text": np.array(list(map(ord, part)), dtype=np.uint32), "tokens": encoded}
        schema = {"task": "corpus", "tokenizer": data.tokenizer, "vocab": tokenizer.get_vocab_size()}
        schema |= {"block": data.block, "rows": data.rows}
        notes = {"tokenizer": json.loads(tokenizer.to_str())}
        return PreparedData(splits=arrays, source=source, licence=licence, schema=schema, notes=notes)

    def training(self, folder: Path) -> TrainingSet:
        """Training windows begin at every token; validation windows are consecutive."""
        card = splits.read_card(folder)
        block = card["schema"]["block"]
        train, val = (windows(splits.read_arrays(folder, name)["tokens"], block) for name in ("train", "val"))
        tokenizer = Tokenizer.from_str(json.dumps(card["tokenizer"]))
        known = set(tokenizer.get_vocab())
        prompts = [
            prompt if card["schema"]["tokenizer"] == "bpe" or set(prompt) <= known else sorted(known)[0]
            for prompt in PROMPTS
        ]
        example = [{"prompt": prompt, "max_tokens": 40, "temperature": 0.8, "seed": 1} for prompt in prompts]
        return TrainingSet(
            train=(train[:, :-1], train[:, 1:]),
            val=(val[::block, :-1], val[::block, 1:]),
            model={"vocab": card["schema"]["vocab"], "block": block},
            assets=partial(
                assets_of, {"example.json": example, "schema.json": card["schema"], "tokenizer.json": card["tokenizer"]}
            ),
            rows=card["schema"]["rows"],
        )

    def test_rows(self, folder: Path, split: str = "test") -> tuple[list[Request], np.ndarray]:
        """Windows of the test text, as requests for log-probabilities, and their numbers of characters, [n]."""
        card, test = splits.read_card(folder), splits.read_arrays(folder, split)
        tokenizer = Tokenizer.from_str(json.dumps(card["tokenizer"]))
        texts = pieces(tokenizer, text_of(test), card["schema"]["block"])
        requests = [{"prompt": piece, "max_tokens": 0, "echo": True, "logprobs": True} for piece in texts]
        return requests, np.array([len(piece) for piece in texts])


def assets_of(assets: JsonObject, network: Any) -> JsonObject:
    """With the weights, as transformers reads them, if the network is to be published."""
    return assets | weights.files_of(**network.published()) if getattr(network, "publish", False) else assets


def corpus(data: settings.Data, profile: str) -> tuple[str, str, str]:
    """Text, source and licence.

    Raises:
        UsageError: the file is unreadable, empty or no text.
    """
    if data.path is not None:
        path = Path(data.path)
        try:
            # A byte order mark is no letter; where files were joined, one stands in the middle.
            text = decoded(path.read_bytes(), str(path)).replace("\ufeff", "")
            text = text.replace("\r\n", "\n").replace("\r", "\n")
            if not text.strip():
                raise UsageError(f"{path}: is empty")
            return text, f"text:{path.name}", "yours"
        except OSError as error:
            raise UsageError(f"params.yaml: projects.mini_gpt.data.path: {path}: {error.strerror}") from None
    if profile == "sample":
        from pydoc_data import topics

        # Topics quote each other: repeated paragraphs are dropped, or test text would leak into the training split.
        whole = "\n\n".join(topics.topics[name].strip("\n") for name in sorted(topics.topics))
        text = "\n\n".join(dict.fromkeys(whole.split("\n\n"))) + "\n"
        return text, "Python's documentation", "PSF"
    text = fetch("mini_gpt", URL, f"sha256:{SHA256}").read_text(encoding="utf-8")
    return text, "tiny-shakespeare", "public domain"


def text_of(split: dict[str, np.ndarray]) -> str:
    """split: its `text` is of code points, uint32 [characters]"""
    return "".join(map(chr, split["text"].tolist()))


def windows(encoded: np.ndarray, block: int) -> np.ndarray:
    """All windows of block + 1 tokens, as a view: [tokens - block, block + 1]"""
    return np.lib.stride_tricks.sliding_window_view(encoded, block + 1)


def pieces(tokenizer: Tokenizer, text: str, block: int) -> list[str]:
    """The text in pieces of at most `block` tokens. Byte pairs never cross a space, so pieces begin with one."""
    if isinstance(tokenizer.model, WordLevel):
        return [text[start : start + block] for start in range(0, len(text) - 1, block) if text[start + 1 : start + 2]]
    found, start = [], 0
    while start < len(text) - 1:
        offsets = tokenizer.encode(text[start : start + 16 * block], add_special_tokens=False).offsets
        end = offsets[block - 1][1] if len(offsets) > block else len(text) - start
        space = text.rfind(" ", start + 1, start + end)
        if len(offsets) > block and space > start:
            end = space - start
        found.append(text[start : start + end])
        start += end
    return [piece for piece in found if len(tokenizer.encode(piece).ids) > 1]
