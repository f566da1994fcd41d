"""The report of a text corpus: size, characters, words, entropy, samples.

A split holds `text`, the code points of its characters, [n].
"""

import unicodedata
from collections import Counter
from pathlib import Path

import numpy as np
from matplotlib.ticker import NullFormatter

from roadmap.data import splits
from roadmap.io.json import JsonObject
from roadmap.reporting import html
from roadmap.reporting.bars import bars
from roadmap.reporting.figures import chart, figure, legend, panel, shorten
from roadmap.reporting.formatting import percent, signed, tick
from roadmap.reporting.histograms import outlines
from roadmap.reporting.html import Html
from roadmap.reporting.page import Section, provenance
from roadmap.reporting.style import BLUE, GREEN, MUTED, WIDTH

TOP = 15  # characters and words shown
ORDERS = range(1, 8)  # lengths of the n-grams
PASSAGE = 400  # characters of a sample


def sections(folder: Path, card: JsonObject) -> list[Section]:
    """folder: of the prepared splits; card: its card.json"""
    codes = {name: splits.read_arrays(folder, name)["text"] for name in splits.SPLITS}
    texts = {name: "".join(map(chr, part.tolist())) for name, part in codes.items()}
    return [
        _overview(texts, card),
        _characters(texts),
        _words(texts["train"]),
        _lines(texts),
        _entropy(codes["train"]),
        _likeness(texts),
        _passages(texts),
    ]


def _overview(texts: dict[str, str], card: JsonObject) -> Section:
    everything = "".join(texts.values())
    lines = everything.splitlines()
    distinct = len(set(everything))
    lead = (
        f"{len(everything):,} characters in {len(lines):,} lines, {distinct:,} distinct. "
        "The splits are consecutive: train is the beginning of the text, test its end."
    )
    facts = [
        *((f"Characters, {name}", f"{len(text):,}") for name, text in texts.items()),
        ("Different characters", f"{distinct:,}"),
        ("Lines", f"{len(lines):,}"),
        ("Words", f"{len(everything.split()):,}"),
        *provenance(card),
    ]
    return Section("Overview", lead, [html.facts(facts)])


def _characters(texts: dict[str, str]) -> Section:
    counts = Counter(texts["train"])
    total = len(texts["train"])
    shares = {shown(character): times / total for character, times in _ranked(counts)[:TOP]}
    known = set(counts)
    strange = {name: sorted(set(text) - known) for name, text in texts.items() if name != "train"}
    news = [f"{name}: {', '.join(map(shown, new[:10]))}" for name, new in strange.items() if new]
    rare = sum(times < 10 for times in counts.values())
    first, most = next(iter(shares.items()))
    lead = (
        f"{first} is the most frequent of {len(counts):,} characters in train, {percent(most)}; {rare or 'none'} of "
        f"them {'occurs' if rare == 1 else 'occur'} fewer than ten times. "
        f"Characters not in train: {'; '.join(news) or 'none'}."
    )
    kinds = Counter(_kind(character) for character in texts["train"])
    rows = [{"Kind": kind, "Characters": times, "Share": percent(times / total)} for kind, times in _ranked(kinds)]
    drawing = bars(shares, "Characters", "Share of the training text.", "Bars of the most frequent characters")
    return Section("Characters", lead, [html.grid([drawing, html.table(rows, "Kinds of characters, train")])])


def shown(character: str) -> str:
    """A visible representation of a character."""
    special = {" ": "space", "\n": "line end", "\t": "tab", "\r": "carriage return"}
    if character in special:
        return special[character]
    return character if character.isprintable() and not character.isspace() else f"U+{ord(character):04X}"


def _kind(character: str) -> str:
    names = {"L": "letters", "N": "digits", "P": "punctuation", "S": "symbols", "Z": "space", "C": "control, line ends"}
    return names.get(unicodedata.category(character)[0], "marks")


def _ranked(counts: "Counter[str]") -> list[tuple[str, int]]:
    """Most frequent first, ties by name."""
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def _words(text: str) -> Section:
    """Zipf's law. In text without spaces, such as Chinese, characters count as words."""
    words = text.split()
    spaced = len(words) > len(text) / 25
    counts = Counter(words if spaced else [character for character in text if not character.isspace()])
    ranked = _ranked(counts)
    times = np.array([amount for _, amount in ranked])
    ranks = np.arange(1, len(times) + 1)
    slope = float(np.polyfit(np.log(ranks[:1000]), np.log(times[:1000]), 1)[0]) if len(times) > 2 else float("nan")
    once = int((times == 1).sum())
    thing = "words" if spaced else "characters"
    lead = (
        f"{times.sum():,} {thing}, {len(times):,} of them distinct, {percent(once / len(times))} of which occur "
        f"once. In the top 1,000 the frequency falls with rank to the power of {signed(slope)}; Zipf's law predicts −1."
    )
    drawing = chart(200)
    axes = panel(drawing, 48, 42, WIDTH - 62, 146)
    axes.loglog(ranks, times, color=BLUE, lw=1.5)
    axes.loglog(ranks, times[0] / ranks, color=MUTED, lw=1, ls="--", label="Zipf")
    axes.set_xlabel("rank")
    axes.set_ylim(0.7)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(tick)
        axis.set_minor_formatter(NullFormatter())
    alt = f"Frequency of {thing} by rank, on logarithmic axes, with Zipf's line"
    shown_ = figure(drawing, "Frequency by rank", f"Frequency of the training {thing}; dashed: Zipf's law.", alt)
    rows = [
        {"Word": shorten(word), "Times": int(amount), "Share": percent(amount / times.sum())}
        for word, amount in ranked[:TOP]
    ]
    return Section("Words", lead, [html.grid([shown_, html.table(rows, f"Most frequent {thing}, train")])])


def _lines(texts: dict[str, str]) -> Section:
    lengths = {name: np.array([len(line) for line in text.splitlines()]) for name, text in texts.items()}
    train = lengths["train"]
    edge = max(1, int(np.percentile(np.concatenate(list(lengths.values())), 99)))
    edges = np.linspace(0, edge + 1, 25)
    outlined = {name: np.histogram(np.minimum(of, edge), edges)[0] / max(1, len(of)) for name, of in lengths.items()}
    lead = (
        f"Half of the training lines have at most {int(np.median(train))} characters, the longest {train.max():,}; "
        f"{percent(float((train == 0).mean()))} are empty."
    )
    drawing, axes = outlines(outlined, edges, bottom=42, height=160)
    axes.set_xlabel("characters")
    alt = "Histograms of line lengths in train, val and test, overlaid"
    caption = "Share of the lines; the longest 1% are in the last bin."
    return Section("Lines", lead, [html.grid([figure(drawing, "Line lengths", caption, alt)])])


def _entropy(codes: np.ndarray) -> Section:
    joint, conditional = entropies(codes)
    orders = list(ORDERS)
    lead = (
        f"The entropy of a character of train is {conditional[0]:.2f} bits, given the preceding one "
        f"{conditional[1]:.2f}, given two {conditional[2]:.2f}. From about the fifth on the estimate is too low: "
        "most longer n-grams occur once, so that the next character looks certain."
    )
    drawing = chart(200)
    axes = panel(drawing, 42, 42, WIDTH - 56, 136)
    axes.plot(orders, conditional, "o-", color=BLUE, label="bits per character")
    axes.plot(orders, np.array(joint) / orders, "o-", color=GREEN, ms=3, label="bits of n / n")
    axes.set_xlabel("n")
    axes.set_ylim(0)
    axes.set_xticks(orders)
    legend(axes)
    alt = "Entropy of a character given the n - 1 before it: " + ", ".join(f"{bits:.2f}" for bits in conditional)
    caption = "Entropy of a character given the n − 1 before it, from counts of the training text."
    rows = [
        {"n": f"{n}", "Bits of the n-gram": round(both, 3), "Bits of its last character": round(last, 3)}
        for n, both, last in zip(orders, joint, conditional, strict=True)
    ]
    parts = [html.grid([figure(drawing, "Entropy", caption, alt), html.table(rows, "Entropy of n-grams, train")])]
    return Section("Entropy", lead, parts)


def entropies(codes: np.ndarray) -> tuple[list[float], list[float]]:
    """Entropy in bits of n-grams, and of their last character given the others, for n in ORDERS (Shannon, 1951).

    codes: code points [n]
    """
    _, ids = np.unique(codes, return_inverse=True)
    first, grams = ids.astype(np.int64), ids.astype(np.int64)
    size = int(first.max()) + 1
    joint = []
    for n in ORDERS:
        if n > 1:  # renumbered each time to keep the codes small
            grams = grams[:-1] * size + first[n - 1 :]
        _, grams, counts = np.unique(grams, return_inverse=True, return_counts=True)
        shares = counts / counts.sum()
        joint.append(float(-(shares * np.log2(shares)).sum()))
    return joint, [after - before for before, after in zip([0.0, *joint], joint, strict=False)]


def _likeness(texts: dict[str, str]) -> Section:
    """Overlap and similarity of train and test."""
    known = {line for line in texts["train"].splitlines() if len(line) >= 20}
    rows, repeated = [], {}
    for name, text in texts.items():
        long = [line for line in text.splitlines() if len(line) >= 20]
        again = sum(line in known for line in long) if name != "train" else len(long) - len(set(long))
        repeated[name] = again / max(1, len(long))
        words = text.split()
        rows.append(
            {
                "Split": name,
                "Lines of 20 characters or more": len(long),
                "Repeated": percent(repeated[name]),
                "Mean word": round(float(np.mean([len(word) for word in words])) if words else 0.0, 2),
                "Capitals": percent(sum(map(str.isupper, text)) / max(1, len(text))),
            }
        )
    lead = (
        f"{percent(repeated['test'])} of the test lines of 20 characters or more also occur in train, and "
        f"{percent(repeated['train'])} of those in train repeat an earlier one; such lines can be memorised."
    )
    return Section("Train and test", lead, [html.table(rows, "Repeated lines and similarity of the splits")])


def _passages(texts: dict[str, str]) -> Section:
    rows = []
    for name, text in texts.items():
        start = text.find("\n", len(text) // 3) + 1
        passage = text[start : start + PASSAGE]
        rows.append(
            {"Split": name, "Passage": Html(f'<span style="white-space:pre-wrap">{html.escape(passage)}</span>')}
        )
    return Section("Passages", "One third into each split.", [html.table(rows, "Sample passages")])
