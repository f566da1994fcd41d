"""The report of labelled texts: examples, balance, lengths, scripts, frequent and distinctive words, duplicates.

The card's schema names the columns `text` and `target`, the classes, and `max_tokens` if the network truncates.
"""

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from roadmap.data import splits
from roadmap.io.json import JsonObject
from roadmap.reporting import html
from roadmap.reporting.bars import bars, split_bars
from roadmap.reporting.figures import figure, shorten
from roadmap.reporting.formatting import count, join_with_and, number, overlap, percent
from roadmap.reporting.histograms import numbers_across, outlines
from roadmap.reporting.page import Section, provenance
from roadmap.reporting.tasks import drift

# Words; in Chinese, which has no spaces, character bigrams: most of its words have two characters.
WORD = re.compile(r"(?=([\u4e00-\u9fff]{2}))|([^\W\d_\u4e00-\u9fff]+(?:['’][^\W\d_]+)?)")
HAN = re.compile(r"[\u4e00-\u9fff]")
SCRIPTS = {
    "Chinese": HAN,
    "Japanese": re.compile(r"[\u3040-\u30ff]"),
    "Korean": re.compile(r"[\uac00-\ud7af]"),
    "Cyrillic": re.compile(r"[\u0400-\u04ff]"),
    "Arabic": re.compile(r"[\u0600-\u06ff]"),
    "Latin": re.compile(r"[A-Za-z\u00c0-\u024f]"),
}
MOST = 15  # words listed
EXCERPT = 2_000  # pixels of an example, about four lines


@dataclass(frozen=True)
class Texts:
    texts: list[str]
    labels: np.ndarray  # int [n]
    words: list[list[str]]  # of each text, in lower case

    @property
    def lengths(self) -> np.ndarray:
        """Length in words, [n]; a Chinese bigram counts as two characters."""
        return np.array([len(words) for words in self.words])


def sections(folder: Path, card: JsonObject) -> list[Section]:
    """folder: of the prepared splits; card: its card.json"""
    schema = card["schema"]
    classes = [str(name) for name in schema["classes"]]
    parts = {name: read(splits.read_table(folder, name), schema["text"], schema["target"]) for name in splits.SPLITS}
    kinds = {"class": "category", "words": "number", "script": "category"}
    return [
        _overview(parts, classes, card),
        _examples(parts["train"], classes),
        _balance(parts, classes),
        _lengths(parts, schema.get("max_tokens")),
        _frequent(parts["train"]),
        _telling(parts["train"], classes),
        drift.section(measure(parts["train"], classes), measure(parts["test"], classes), kinds),
    ]


def read(frame: pd.DataFrame, text: str, target: str) -> Texts:
    texts = [str(value) for value in frame[text]]
    return Texts(texts, frame[target].to_numpy(np.int64), [words_of(value) for value in texts])


def words_of(text: str) -> list[str]:
    return [pair or word.lower() for pair, word in WORD.findall(text.replace("<br />", " "))]


def script(text: str) -> str:
    """The script of most of the letters."""
    counts = {name: len(letters.findall(text)) for name, letters in SCRIPTS.items()}
    best = max(counts, key=lambda name: counts[name])
    return best if counts[best] else "none"


def measure(part: Texts, classes: list[str]) -> pd.DataFrame:
    """Per text: its class, its number of words, its script."""
    return pd.DataFrame(
        {
            "class": np.array(classes, object)[part.labels],
            "words": part.lengths.astype(float),
            "script": [script(text) for text in part.texts],
        }
    )


def _overview(parts: dict[str, Texts], classes: list[str], card: JsonObject) -> Section:
    train = {plain(text) for text in parts["train"].texts}
    leaked = sum(plain(text) in train for text in parts["test"].texts)
    repeated = len(parts["train"].texts) - len(train)
    scripts = Counter(script(text) for part in parts.values() for text in part.texts)
    total = sum(scripts.values())
    written = join_with_and([f"{percent(amount / total)} {name}" for name, amount in scripts.most_common(3)])
    lead = f"{total:,} texts in {len(classes)} classes; by script {written}. " + overlap(
        "text", leaked, repeated, "ignoring case and spaces"
    )
    left_out = {why: amount for why, amount in card.get("left_out", {}).items() if amount}
    facts = [
        *((f"Texts, {name}", f"{len(part.texts):,}") for name, part in parts.items()),
        ("Classes", join_with_and(classes)),
        ("Distinct words in train", f"{len({word for words in parts['train'].words for word in words}):,}"),
        ("Test texts also in train", f"{leaked:,}"),
        ("Duplicates within train", f"{repeated:,}"),
        *((f"Skipped: {why}", f"{amount:,}") for why, amount in left_out.items()),
        *provenance(card),
    ]
    return Section("Overview", lead, [html.facts(facts)])


def plain(text: str) -> str:
    return " ".join(text.lower().split())


def _examples(train: Texts, classes: list[str]) -> Section:
    """A short, a medium and a long text of each class."""
    rows = []
    for label, name in enumerate(classes):
        found = np.flatnonzero(train.labels == label)
        found = found[np.argsort(train.lengths[found], kind="stable")]
        for share, size in ((0.05, "short"), (0.5, "middling"), (0.95, "long")):
            text = train.texts[found[int(share * (len(found) - 1))]]
            rows.append({"Class": name, "Length": size, "Text": shorten(text, EXCERPT)})
    lead = "For each class a text at the 5th, the 50th and the 95th percentile of length."
    return Section("Examples", lead, [html.table(rows, "Beginnings of training texts")])


def _balance(parts: dict[str, Texts], classes: list[str]) -> Section:
    counts = {name: np.bincount(part.labels, minlength=len(classes)) for name, part in parts.items()}
    shares = {name: of / max(1, of.sum()) for name, of in counts.items()}
    train = shares["train"]
    most = int(train.argmax())
    lead = f"Always predicting {classes[most]} is right for {percent(shares['test'][most])} of the test texts."
    drawing = split_bars(classes, shares, "Classes", "Share of each class, by split.")
    rows = [
        {"Class": name, **{split: int(of[label]) for split, of in counts.items()}} for label, name in enumerate(classes)
    ]
    return Section("Class balance", lead, [html.grid([drawing, html.table(rows, "Texts of each class")])])


def _lengths(parts: dict[str, Texts], limit: int | None) -> Section:
    lengths = parts["train"].lengths
    median, far = np.ceil(np.percentile(lengths, [50, 99]))
    lead = f"Half of the training texts have {number(median)} words or fewer, one in a hundred more than {number(far)}."
    if limit:
        share = float((lengths > limit).mean())
        lead += (
            f" The network reads {limit:,} tokens, at least one per word: {percent(share)} or more of the texts "
            "are truncated."
        )
    edges = np.linspace(0, max(float(far), 1), 31)
    outlined = {name: np.histogram(part.lengths, edges)[0] / len(part.lengths) for name, part in parts.items()}
    drawing, axes = outlines(outlined, edges, bottom=42, height=160)
    axes.set_xlabel("words")
    numbers_across(axes)
    alt = "Histograms of the number of words in train, val and test, one over the other"
    shown = figure(drawing, "Length", "Share of texts by number of words, up to the 99th percentile.", alt)
    rows = [
        {"Split": name, **{label: float(np.percentile(part.lengths, at)) for label, at in QUANTILES.items()}}
        for name, part in parts.items()
    ]
    return Section("Lengths", lead, [html.grid([shown, html.table(rows, "Words of a text")])])


QUANTILES = {"Shortest": 0, "Half": 50, "95%": 95, "Longest": 100}


def _frequent(train: Texts) -> Section:
    holding = Counter(word for words in train.words for word in set(words))
    top = holding.most_common(MOST)
    once = sum(amount == 1 for amount in holding.values())
    lead = (
        f"{count(len(holding), 'distinct word')}, {percent(once / max(1, len(holding)))} of them in a single text. "
        + (
            f"The most frequent, {top[0][0]}, is in {percent(top[0][1] / len(train.texts))} of the texts."
            if top
            else ""
        )
    )
    shares = {word: amount / len(train.texts) for word, amount in top}
    drawing = [bars(shares, "Frequent words", "Share of texts with the word.", "Frequent words")] if shares else []
    return Section("Frequent words", lead, [html.grid(drawing)])


def _telling(train: Texts, classes: list[str]) -> Section:
    scores = telling(train, len(classes))
    lists, first = [], []
    for label, name in enumerate(classes):
        top = sorted(scores, key=lambda word: (-scores[word][label], word))[:MOST]
        rows = [{"Word": word, "z": round(float(scores[word][label]), 1)} for word in top if scores[word][label] > 0]
        if rows:
            first.append(f"{rows[0]['Word']} for {name}")
            lists.append(html.table(rows, f"Words typical of {name}"))
    lead = "Words that are significantly more frequent in one class than in the others" + (
        f": above all {join_with_and(first)}." if first else ": there are none."
    )
    how = (
        "z is the log-odds of the word in the class against the rest, over its standard error, with all texts together "
        "as prior (Monroe, Colaresi and Quinn, 2008); a text counts a word once."
    )
    return Section("Telling words", lead, [html.grid(lists), html.paragraph(how)])


def telling(train: Texts, classes: int, seldom: int = 5, prior: float = 500) -> dict[str, np.ndarray]:
    """z-scores [classes] of each word that at least `seldom` texts have (Monroe et al., "Fightin' Words", 2008)."""
    counts: dict[str, np.ndarray] = {}
    for words, label in zip(train.words, train.labels, strict=True):
        for word in set(words):
            counts.setdefault(word, np.zeros(classes))[label] += 1
    names = [word for word, of in counts.items() if of.sum() >= seldom]
    if not names:
        return {}
    inside = np.stack([counts[word] for word in names])  # [words, classes]
    total = inside.sum(axis=1, keepdims=True)
    outside, pseudo = total - inside, prior * total / total.sum()
    sums = inside.sum(axis=0), outside.sum(axis=0)
    odds = [
        np.log((of + pseudo) / (of_all + prior - of - pseudo))
        for of, of_all in zip((inside, outside), sums, strict=True)
    ]
    z = (odds[0] - odds[1]) / np.sqrt(1 / (inside + pseudo) + 1 / (outside + pseudo))
    return dict(zip(names, z, strict=True))
