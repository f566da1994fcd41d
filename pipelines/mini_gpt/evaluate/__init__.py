"""mini_gpt: bits per character of held-out text, samples, and how much of them is memorised."""

import gzip
import lzma
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipelines.mini_gpt.data import text_of
from pipelines.mini_gpt.evaluate import ngrams
from roadmap import project
from roadmap.bundle.answers import predict_in_batches
from roadmap.data import splits
from roadmap.evaluation.evaluated import EvaluatedModel
from roadmap.evaluation.scores import Score
from roadmap.inference.language.writing import Response
from roadmap.io.json import JsonObject
from roadmap.project import Figures, Request

METRIC = "bits_per_character"
ORDERS = (3, 5)  # of the n-gram models
SAMPLES, LENGTH = 6, 400  # generated texts, and tokens of each


class Evaluation(project.Evaluation[Response]):
    def score(self, targets: np.ndarray, outputs: Sequence[Response]) -> Score:
        """Bits per character, without the first token of each window, which has no context."""
        found = [output.logprobs for output in outputs if output.logprobs]  # all of them: `test_rows` requests them
        bits = np.array([-sum(p for p in one.token_logprobs[1:] if p is not None) for one in found]) / np.log(2)
        characters = targets - np.array([len(one.tokens[0]) for one in found])
        tokens = sum(len(one.tokens) - 1 for one in found)
        per_item = bits / characters.mean()  # so that their mean is total bits over total characters
        loss = float(bits.sum() * np.log(2) / tokens)
        metrics = {"loss": loss, "perplexity": float(np.exp(loss)), "characters": float(characters.sum())}
        return Score(METRIC, False, per_item, metrics)

    def slices(self, requests: list[Request], targets: np.ndarray) -> dict[str, np.ndarray]:
        """Prose, and text with much punctuation: code, tables, speakers of a play."""
        signs = np.array([np.mean([not (c.isalpha() or c == " ") for c in request["prompt"]]) for request in requests])
        return {"prose": signs <= np.median(signs), "signs": signs > np.median(signs)}

    def baselines(self, folder: Path, seed: int) -> list[JsonObject]:
        """Compressors primed with the training text, and character n-gram models."""
        train, test = (text_of(splits.read_arrays(folder, name)) for name in ("train", "test"))
        rows = []
        for name, compress in (("gzip", gzip.compress), ("lzma", lzma.compress)):
            started = time.perf_counter()
            alone, both = (len(compress(text.encode())) for text in (train, train + test))
            rows.append(_row(name, 8 * (both - alone) / len(test), started))
        letters = np.unique(np.array(list(map(ord, train + test))))
        known, found = (np.searchsorted(letters, list(map(ord, text))) for text in (train, test))
        for order in (1, *ORDERS):
            started = time.perf_counter()
            bits = -np.log2(ngrams.probabilities(known, found, len(letters), order)).mean()
            rows.append(_row(f"Kneser-Ney {order}-gram" if order > 1 else "unigram", float(bits), started))
        return rows

    def figures(self, evaluated: EvaluatedModel) -> Figures:
        from pipelines.mini_gpt.evaluate import figures as draw

        train, test = (text_of(splits.read_arrays(evaluated.data, name)) for name in ("train", "test"))
        prompts = written(evaluated)
        texts = [output.text for output in predict_in_batches(evaluated.predictor, prompts)]
        starts = [len(test) * number // len(texts) for number in range(len(texts))]
        held_out = [test[start : start + len(text)] for start, text in zip(starts, texts, strict=True)]
        return {
            "perplexity_by_position": draw.perplexity_by_position(
                [o.logprobs.token_logprobs for o in evaluated.outputs]
            ),
            "samples": draw.samples([(one["prompt"], text) for one, text in zip(prompts, texts, strict=True)][:3]),
            "memorisation": draw.memorisation(
                [longest_overlap(text, train) for text in texts], [longest_overlap(text, train) for text in held_out]
            ),
        }


def _row(name: str, bits: float, started: float) -> JsonObject:
    seconds = round(time.perf_counter() - started, 2)
    print(f"  {name:24s} {METRIC} {bits:.4f}")
    return {"name": name, "metric": METRIC, "test": bits, "seconds": seconds}


def written(evaluated: EvaluatedModel) -> list[Request]:
    """Requests with prompts from all over the test text."""
    windows = [request["prompt"] for request in evaluated.requests]
    chosen = [windows[len(windows) * number // SAMPLES] for number in range(SAMPLES)]
    return [
        {"prompt": window[: len(window) // 2 + 1], "max_tokens": LENGTH, "temperature": 0.8, "seed": number}
        for number, window in enumerate(chosen)
    ]


def longest_overlap(text: str, source: str) -> str:
    """The longest substring of `text` that occurs in `source`."""
    longest = ""
    for start in range(len(text)):
        while text[start : start + len(longest) + 1] in source and start + len(longest) < len(text):
            longest = text[start : start + len(longest) + 1]
    return longest
