"""Translation: exact match of what has one right answer, BLEU and chrF of sentences; baselines from before networks."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from pipelines.translation.data import Data, tokenizer_of
from pipelines.translation.data.tokens import encode
from pipelines.translation.evaluate import bleu
from pipelines.translation.evaluate.ibm1 import Model1
from pipelines.translation.predict import Translation
from roadmap import project
from roadmap.bundle.answers import predict_in_batches
from roadmap.data import splits
from roadmap.evaluation.evaluated import EvaluatedModel
from roadmap.evaluation.scores import Score
from roadmap.io.json import JsonObject
from roadmap.project import Figures, Request

ALIGNED = 6  # test sentences whose attention is drawn
LONGER = "longer"  # kind of the numbers with more digits than in training


class Evaluation(project.Evaluation[Translation]):
    def score(self, targets: np.ndarray, outputs: Sequence[Translation]) -> Score:
        return score(targets, [output.translation for output in outputs])

    def slices(self, requests: list[Request], targets: np.ndarray) -> dict[str, np.ndarray]:
        """By kind and direction where they are generated, else by length. Numbers longer than in training are a metric:
        they don't count in the headline."""
        kinds = targets["kind"]
        if kinds.astype(bool).any():
            english = np.array([request["text"].isascii() for request in requests])
            found = {f"kind={kind}": kinds == kind for kind in np.unique(kinds) if kind != LONGER}
            counted = kinds != LONGER
            return found | {"from English": english & counted, "into English": ~english & counted}
        lengths = np.array([len(request["text"]) for request in requests])
        third, two_thirds = np.quantile(lengths, [1 / 3, 2 / 3])
        return {"short": lengths <= third, "long": lengths > two_thirds}

    def baselines(self, folder: Path, seed: int) -> list[JsonObject]:
        """The source itself, the translation of the nearest training sentence, and word by word by IBM Model 1."""
        train, tokenizer = splits.read_table(folder, "train"), tokenizer_of(splits.read_card(folder))
        requests, targets = Data().test_rows(folder)
        texts = [request["text"] for request in requests]
        sources, known = list(train["source"]), list(train["target"])

        def word_by_word() -> list[str]:
            model = Model1(encode(tokenizer, sources), encode(tokenizer, known), tokenizer.get_vocab_size())
            return [tokenizer.decode(model.translate(row)) for row in encode(tokenizer, texts)]

        ways: dict[str, Callable[[], list[str]]] = {
            "copy of the source": lambda: texts,
            "translation memory": lambda: remembered(sources, known, texts),
            "IBM Model 1, word by word": word_by_word,
        }
        rows = []
        for name, way in ways.items():
            started = time.perf_counter()
            found = score(targets, way())
            row = {"name": name, "metric": found.headline, "test": found.value, **found.metrics}
            if found.headline == "bleu":
                row["signature"] = bleu.signature(lowercase=True)
            rows.append({**row, "seconds": round(time.perf_counter() - started, 2)})
            print(f"  {name:28s} {found.headline} {found.value:.4f}")
        return rows

    def figures(self, evaluated: EvaluatedModel) -> Figures:
        from pipelines.translation.evaluate import figures as draw

        sources = [request["text"] for request in evaluated.requests]
        written = [output.translation for output in evaluated.outputs]
        right = np.array([one == other for one, other in zip(written, evaluated.targets["target"], strict=True)])
        lengths = np.array([len(text) for text in sources])
        middling = np.argsort(np.abs(lengths - np.median(lengths)), kind="stable")[:ALIGNED]
        asked = [{**evaluated.requests[row], "attention": True} for row in middling]
        aligned = [output.attention for output in predict_in_batches(evaluated.predictor, asked) if output.attention]
        found = {"translations": draw.translations(sources, written, list(evaluated.targets["target"]), right)}
        if aligned:
            found["alignments"] = draw.alignments(aligned)
        if (kinds := evaluated.targets["kind"]).astype(bool).any():
            found["exact_match_by_kind"] = draw.by_kind(kinds, right, np.array([text.isascii() for text in sources]))
        else:
            counts = bleu.counts(written, evaluated.targets["target"].tolist(), lowercase=True)
            found["bleu_by_length"] = draw.by_length(lengths, counts)
        return found


def score(targets: np.ndarray, written: Sequence[str]) -> Score:
    """Exact match of generated pairs; lower-cased BLEU of others. targets: FIELDS of pipelines/translation/data"""
    from sacrebleu.metrics import CHRF

    wanted = targets["target"].tolist()
    right = np.array([one == other for one, other in zip(written, wanted, strict=True)], float)
    chrf = CHRF().corpus_score(list(written), [wanted]).score
    kinds = targets["kind"]
    if not kinds.astype(bool).any():
        lower, cased = (bleu.counts(written, wanted, lowercase) for lowercase in (True, False))
        metrics = {"bleu_cased": float(bleu.bleu(cased.mean(axis=0))), "chrf": chrf, "exact_match": float(right.mean())}
        return Score("bleu", True, lower, metrics, bleu.bleu)
    counted = kinds != LONGER
    metrics = {f"exact_match_{kind}": float(right[kinds == kind].mean()) for kind in np.unique(kinds)}
    per_item = np.column_stack([right * counted, counted])
    return Score("exact_match", True, per_item, metrics | {"chrf": chrf}, share)


def share(means: np.ndarray) -> np.ndarray:
    """Right ones of those that count: [..., 2] -> [...]"""
    return means[..., 0] / np.maximum(means[..., 1], 1e-12)


def remembered(sources: list[str], targets: list[str], texts: list[str]) -> list[str]:
    """The translation of the training source with the most in common: cosine of TF-IDF of character n-grams."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 4), sublinear_tf=True, dtype=np.float32)
    known = vectorizer.fit_transform(sources)
    nearest: list[int] = []
    for start in range(0, len(texts), 100):
        likeness = vectorizer.transform(texts[start : start + 100]) @ known.T
        nearest += np.asarray(likeness.argmax(axis=1)).ravel().tolist()
    return [targets[row] for row in nearest]
