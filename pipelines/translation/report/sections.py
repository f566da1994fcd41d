"""What the data report shows of sentence pairs: examples, lengths, words that the test has and training has not."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
from tokenizers import Tokenizer

from roadmap.data import splits
from roadmap.io.json import JsonObject
from roadmap.reporting import html
from roadmap.reporting.bars import bars
from roadmap.reporting.figures import figure
from roadmap.reporting.formatting import number, overlap, percent
from roadmap.reporting.histograms import numbers_across, outlines
from roadmap.reporting.page import Section, provenance

SIDES = ("source", "target")
SHOWN = 12  # pairs, evenly spaced by length
FREQUENT = 15  # tokens listed

Tokens = dict[str, list[list[int]]]  # by side


def sections(folder: Path, card: JsonObject) -> list[Section]:
    """folder: of the prepared splits; card: its card.json"""
    tables = {name: splits.read_table(folder, name) for name in splits.SPLITS}
    tokenizer = Tokenizer.from_str(json.dumps(card["tokenizer"]))
    tokens = {
        name: {side: [one.ids for one in tokenizer.encode_batch(list(table[side]))] for side in SIDES}
        for name, table in tables.items()
    }
    return [
        _overview(tables, tokens, card),
        _examples(tables["train"], tokens["train"]),
        _lengths(tokens),
        _vocabulary(tokens, [tokenizer.id_to_token(token) or "" for token in range(tokenizer.get_vocab_size())]),
    ]


def _overview(tables: dict[str, pd.DataFrame], tokens: dict[str, Tokens], card: JsonObject) -> Section:
    known = set(tables["train"]["source"])
    leaked = int(tables["test"]["source"].isin(known).sum())
    repeated = len(tables["train"]) - len(known)
    total = sum(map(len, tables.values()))
    lead = f"{total:,} pairs, {card['schema']['source']} to {card['schema']['target']}. "
    lead += overlap("source", leaked, repeated, "as they are")
    facts = [
        *((f"Pairs, {name}", f"{len(table):,}") for name, table in tables.items()),
        *(
            (f"Left out as empty or too long, {name}", f"{count:,}")
            for name, count in card["left_out"].items()
            if count
        ),
        *((f"Tokens of the {side}s, train", f"{sum(map(len, tokens['train'][side])):,}") for side in SIDES),
        ("Tokens in the vocabulary", f"{card['schema']['vocabulary']:,}"),
        *provenance(card),
    ]
    return Section("Overview", lead, [html.facts(facts)])


def _examples(table: pd.DataFrame, tokens: Tokens) -> Section:
    order = np.argsort([len(row) for row in tokens["source"]], kind="stable")
    chosen = order[np.linspace(0, len(order) - 1, SHOWN).astype(int)]
    rows = [{"Source": table["source"][row], "Target": table["target"][row]} for row in chosen]
    return Section("Examples", "Training pairs from the shortest to the longest.", [html.table(rows, "Pairs")])


def _lengths(tokens: dict[str, Tokens]) -> Section:
    drawn = []
    sizes = {
        side: {name: np.array([len(row) for row in part[side]]) for name, part in tokens.items()} for side in SIDES
    }
    for side, of in sizes.items():
        edges = np.linspace(0, float(np.percentile(of["train"], 99.5)) + 1, 31)
        drawing, axes = outlines({n: np.histogram(one, edges)[0] / len(one) for n, one in of.items()}, edges, 42, 160)
        axes.set_xlabel("tokens")
        numbers_across(axes)
        alt = f"Histograms of the number of tokens of {side}s in train, val and test, one over the other"
        drawn.append(figure(drawing, f"Tokens of {side}s", "Share of texts by number of tokens.", alt))
    source, target = (sizes[side]["train"] for side in SIDES)
    lead = (
        f"Half of the training sources have {number(float(np.median(source)))} tokens or fewer, of the targets "
        f"{number(float(np.median(target)))}. The two lengths correlate with {np.corrcoef(source, target)[0, 1]:.2f}."
    )
    return Section("Lengths", lead, [html.grid(drawn)])


def _vocabulary(tokens: dict[str, Tokens], names: list[str]) -> Section:
    drawn, leads = [], []
    for side in SIDES:
        counts = {name: np.bincount(np.concatenate(part[side]), minlength=len(names)) for name, part in tokens.items()}
        new = int(counts["test"][counts["train"] == 0].sum())
        leads.append(f"of the {side}s {percent(new / max(1, counts['test'].sum()))}")
        top = np.argsort(-counts["train"], kind="stable")[:FREQUENT]
        total = counts["train"].sum()
        shares = {names[token]: float(counts["train"][token] / total) for token in top}
        drawn.append(bars(shares, f"Frequent tokens, {side}s", "Share of the training tokens.", f"Tokens of {side}s"))
    lead = f"Tokens of the test that training has not on that side: {' and '.join(leads)}."
    return Section("Vocabulary", lead, [html.grid(drawn)])
