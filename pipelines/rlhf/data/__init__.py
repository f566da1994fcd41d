"""Texts to continue: generated reviews (sample), IMDB (full), or texts of your own; and what people prefer."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import pandas as pd

from pipelines.rlhf import settings
from pipelines.rlhf.data import preferences, reviews
from pipelines.rlhf.data.judges import judge_of
from pipelines.rlhf.data.tokens import END, byte_pairs, encode, end_of, padded, tokenizer_of
from roadmap import project
from roadmap.data import splits, texts
from roadmap.data.download import fetch
from roadmap.data.splits import PreparedData, split_indices
from roadmap.data.training_set import Fits, Networks, TrainingSet, TrainingStream
from roadmap.io.errors import UsageError, of_file
from roadmap.io.json import JsonObject
from roadmap.io.texts import decoded
from roadmap.project import Request

if TYPE_CHECKING:
    from pytorch_lightning import LightningDataModule  # noqa: TID251 (types)
    from tokenizers import Tokenizer

    from pipelines.rlhf.data.pairs import Writer
    from roadmap.config.settings import TrainSettings

URL = "https://ai.stanford.edu/~amaas/data/sentiment/aclImdb_v1.tar.gz"
MD5 = "md5:7c2ac02c03563afcf9b574c7e56c153a"
PREFERENCES = "preferences"  # a further split, of a file of one's own
TESTED = 250  # prompts that evaluation continues, at most


class Data(project.Data[settings.Data]):
    def prepare(self, data: settings.Data, profile: str, seed: int) -> PreparedData:
        """Texts by split, each longer than a prompt: `text`; its `prompt`, what stands behind it, `rest`, and the
        `reward` of that; how many `tokens` it has. And preferences, of a file of one's own.

        Raises:
            UsageError: the texts, the preferences or the judge aren't what they should be.
        """
        found, source, licence = corpus(data, seed)
        rows = split_indices(len(found), data.split, seed)
        tokenizer = byte_pairs([found[row] for row in rows["train"]], data.vocabulary)
        schema: JsonObject = {"tokenizer": "bpe", "vocab": tokenizer.get_vocab_size()}
        schema |= {name: getattr(data, name) for name in ("prompt", "new", "judge", "pairs", "noise")}
        # A prompt over HTTP may be longer than those of training.
        schema |= {"block": 2 * (data.prompt + data.new)}
        judge = judge_of(schema)
        parts, short = {}, 0
        for name, index in rows.items():
            frame = parted(tokenizer, [found[row] for row in index], data.prompt, data.new)
            parts[name], short = frame, short + len(index) - len(frame)
            frame["reward"] = judge(list(frame["rest"]))
        for name, part in parts.items():
            if len(part) < preferences.FEWEST:
                raise UsageError(
                    f"params.yaml: projects.rlhf.data: the {name} split has {len(part)} texts of more than "
                    f"{data.prompt} tokens; expected at least {preferences.FEWEST}; use more text or a smaller prompt"
                )
        if data.preferences:
            parts[PREFERENCES] = preferences.read(data.preferences)
        notes = {"tokenizer": json.loads(tokenizer.to_str()), "too_short": short}
        return PreparedData(parts, source, licence, schema, notes)

    def training(self, folder: Path) -> Fits:
        """The reference: tokens and those after them, int64 [n, p + t]. The reward model: preferred texts and others,
        int64 [n, p + t]. The policy: a stream of what it writes."""
        card = splits.read_card(folder)
        schema, tokenizer = card["schema"], tokenizer_of(card)
        end, length = end_of(tokenizer), schema["prompt"] + schema["new"]
        parts = {
            name: padded(encode(tokenizer, list(splits.read_table(folder, name)["text"])), length, end)
            for name in ("train", "val")
        }
        prompts = {name: tokens[:, : schema["prompt"]] for name, (tokens, _) in parts.items()}
        given = splits.read_table(folder, PREFERENCES) if splits.has(folder, PREFERENCES) else None

        def reference(_: Networks) -> TrainingSet:
            model = {"vocab": schema["vocab"], "block": schema["block"]}
            return TrainingSet(train=parts["train"], val=parts["val"], model=model)

        def reward_model(earlier: Networks) -> TrainingSet:
            from pipelines.rlhf.data import pairs

            if given is not None:
                train, val = pairs.of_file(given, tokenizer, schema, end)
            else:
                train, val = pairs.judged(cast("Writer", earlier["reference"]), prompts, tokenizer, schema, end)
            model = {"start": earlier["reference"], "prompt": schema["prompt"], "end": end}
            return TrainingSet(train=train, val=val, model=model)

        def policy(earlier: Networks) -> TrainingStream:
            def module(train: "TrainSettings", seed: int) -> "LightningDataModule":
                from pipelines.rlhf.data.stream import Stream

                return Stream(prompts, tokenizer, judge_of(schema), train, seed)

            known = ("reference", "reward_model")
            model = {**{name: earlier[name] for name in known}, "new": schema["new"], "end": end}
            written = [request_of(tokenizer.decode(row), schema, 1) for row in prompts["val"][:2].tolist()]
            assets = {"schema.json": schema, "tokenizer.json": card["tokenizer"], "example.json": written}
            return TrainingStream(module, (parts["val"][0][:2],), model, assets)

        return {"reference": reference, "reward_model": reward_model, "model": policy}

    def test_rows(self, folder: Path, split: str = "test") -> tuple[list[Request], np.ndarray]:
        """Requests to continue the beginnings of texts; and of each its prompt, its seed and the judge, [n]"""
        schema = splits.read_card(folder)["schema"]
        prompts = list(splits.read_table(folder, split)["prompt"])[:TESTED]
        requests = [request_of(prompt, schema, seed) for seed, prompt in enumerate(prompts)]
        judge = schema["judge"] or ""
        targets = np.zeros(
            len(prompts),
            [("prompt", f"U{max(map(len, prompts))}"), ("seed", "i8"), ("new", "i8"), ("judge", f"U{len(judge) or 1}")],
        )
        targets["prompt"], targets["seed"] = prompts, np.arange(len(prompts))
        targets["new"], targets["judge"] = schema["new"], judge
        return requests, targets


def parted(tokenizer: "Tokenizer", texts: list[str], prompt: int, new: int) -> pd.DataFrame:
    """Texts that are longer than a prompt, in two parts of `prompt` and at most `new` tokens."""
    rows = [
        (text, tokenizer.decode(one.ids[:prompt]), tokenizer.decode(one.ids[prompt : prompt + new]), len(one.ids))
        for text, one in zip(texts, tokenizer.encode_batch(texts), strict=True)
        if len(one.ids) > prompt
    ]
    return pd.DataFrame(rows, columns=["text", "prompt", "rest", "tokens"])


def request_of(prompt: str, schema: JsonObject, seed: int) -> Request:
    return {"prompt": prompt, "max_tokens": schema["new"], "temperature": 1.0, "seed": seed, "stop": [END]}


def corpus(data: settings.Data, seed: int) -> tuple[list[str], str, str]:
    """Different texts without line breaks, source and licence.

    Raises:
        UsageError: the file is unreadable, or has too few texts.
    """
    if data.corpus == "reviews":
        return reviews.generate(data.rows, seed), "generated reviews", "ours"
    if data.corpus == "imdb":
        place = Path(data.path) if data.path else fetch("imdb", URL, MD5)
        found = [file.text for file in sorted(texts.files(place), key=lambda file: file.place)]
        source, licence = "IMDB", "not stated"
    else:
        assert data.path
        try:
            found = decoded(Path(data.path).read_bytes(), data.path).splitlines()
        except OSError as error:
            raise UsageError(f"params.yaml: projects.rlhf.data.path: {of_file(error)}; expected a text file") from None
        source, licence = f"own:{Path(data.path).name}", "yours"
    tidy = [text for text in dict.fromkeys(" ".join(text.split()) for text in found) if text]
    if len(tidy) < 300:
        raise UsageError(f"{data.path or source}: found {len(tidy)} different texts; expected at least 300, one a line")
    order = np.random.default_rng(seed).permutation(len(tidy))[: data.rows]
    return [tidy[row] for row in order], source, licence
