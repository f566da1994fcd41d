"""What the data report shows of conversations: one of them as it is read, their lengths, what is asked for."""

from collections import Counter
from pathlib import Path

import numpy as np

from pipelines.chatbot.data import conversations, tokenizer_in, tokens
from roadmap.data import splits
from roadmap.data.conversations import Conversation
from roadmap.inference.language.templates import Template
from roadmap.io.json import JsonObject
from roadmap.reporting import html
from roadmap.reporting.bars import bars
from roadmap.reporting.figures import figure
from roadmap.reporting.formatting import number, percent
from roadmap.reporting.histograms import numbers_across, outlines
from roadmap.reporting.page import Section, provenance

FREQUENT = 12  # answers listed


def sections(folder: Path, card: JsonObject) -> list[Section]:
    """folder: of the prepared splits; card: its card.json"""
    parts = {name: conversations(folder, name) for name in splits.SPLITS}
    template, tokenizer = Template(card["template"]), tokenizer_in(card)
    encoded = {name: [tokens.encode(one, template, tokenizer) for one in part] for name, part in parts.items()}
    return [_overview(parts, encoded, card), _example(parts["train"]), _lengths(encoded), _answers(parts["train"])]


def _overview(
    parts: dict[str, list[Conversation]], encoded: dict[str, list[tokens.Encoded]], card: JsonObject
) -> Section:
    known = {asked(one) for one in parts["train"]}
    leaked = sum(asked(one) in known for one in parts["test"])
    total = sum(map(len, parts.values()))
    said = sum(int(one.answered.sum()) for one in encoded["train"])
    read = sum(len(one.tokens) for one in encoded["train"])
    lead = (
        f"{total:,} conversations; the assistant says {percent(said / read)} of the training tokens, which are learnt. "
    )
    lead += f"{leaked:,} of {len(parts['test']):,} tested questions stand in training with all that was said before."
    facts = [
        *((f"Conversations, {name}", f"{len(part):,}") for name, part in parts.items()),
        *((f"Left out as too long, {name}", f"{count:,}") for name, count in card["too_long"].items() if count),
        ("Broken in the source", f"{len(card.get('broken', [])):,}"),
        ("Tokens, train", f"{read:,}"),
        ("Tokens in the vocabulary", f"{card['schema']['vocab']:,}"),
        *provenance(card),
    ]
    return Section("Overview", lead, [html.facts(facts)])


def _example(train: list[Conversation]) -> Section:
    rows = [{"Role": message.role, "Text": message.content} for message in train[0].messages]
    return Section("Example", "The first training conversation.", [html.table(rows, "Messages")])


def _lengths(encoded: dict[str, list[tokens.Encoded]]) -> Section:
    sizes = {name: np.array([len(one.tokens) for one in part]) for name, part in encoded.items()}
    edges = np.linspace(0, float(np.percentile(sizes["train"], 99.5)) + 1, 31)
    drawing, axes = outlines({n: np.histogram(one, edges)[0] / len(one) for n, one in sizes.items()}, edges, 42, 160)
    axes.set_xlabel("tokens")
    numbers_across(axes)
    alt = "Histograms of the number of tokens of conversations in train, val and test, one over the other"
    drawn = figure(drawing, "Tokens of conversations", "Share of conversations by number of tokens.", alt)
    lead = f"Half of the training conversations have {number(float(np.median(sizes['train'])))} tokens or fewer."
    return Section("Lengths", lead, [html.grid([drawn])])


def _answers(train: list[Conversation]) -> Section:
    said = Counter(message.content for one in train for message in one.messages if message.role == "assistant")
    total = sum(said.values())
    shares = {text[:40]: count / total for text, count in said.most_common(FREQUENT)}
    lead = (
        f"{len(said):,} different answers of {total:,}; the most frequent is {percent(max(shares.values()))} of them."
    )
    drawn = bars(shares, "Frequent answers", "Share of the training answers.", "The most frequent answers")
    return Section("Answers", lead, [html.grid([drawn])])


def asked(one: Conversation) -> tuple[str, ...]:
    """All that is read before the last answer."""
    return tuple(message.content for message in one.messages[:-1])
