"""What the data report shows: texts, their lengths, and how the judge's rewards of them are spread."""

from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd

from roadmap.data import splits
from roadmap.io.json import JsonObject
from roadmap.reporting import html
from roadmap.reporting.bars import bars
from roadmap.reporting.figures import figure
from roadmap.reporting.formatting import number
from roadmap.reporting.histograms import numbers_across, outlines
from roadmap.reporting.page import Section, provenance

PREFERENCES = "preferences"  # a further split, where there is a file of one's own
SHOWN, FREQUENT = 10, 15


def sections(folder: Path, card: JsonObject) -> list[Section]:
    """folder: of the prepared splits; card: its card.json"""
    tables = {name: splits.read_table(folder, name) for name in splits.SPLITS}
    found = [_overview(tables, card), _rewards(tables), _lengths(tables, card), _words(list(tables["train"]["text"]))]
    if splits.has(folder, PREFERENCES):
        first = splits.read_table(folder, PREFERENCES)[:SHOWN]
        rows = [{str(name): first[name][row] for name in first} for row in range(len(first))]
        found.append(Section("Preferences", "The first of the file.", [html.table(rows, "Preferences")]))
    return found


def _overview(texts: dict[str, pd.DataFrame], card: JsonObject) -> Section:
    schema = card["schema"]
    lead = (
        f"{sum(map(len, texts.values())):,} texts. The first {schema['prompt']} tokens of each are a prompt, behind "
        f"which a model writes at most {schema['new']}."
    )
    facts = [
        *((f"Texts, {name}", f"{len(part):,}") for name, part in texts.items()),
        ("Left out as too short", f"{card['too_short']:,}"),
        ("Tokens in the vocabulary", f"{schema['vocab']:,}"),
        ("Judge", schema["judge"] or "the rule of pipelines/rlhf/predict/rule.py"),
        *provenance(card),
    ]
    return Section("Overview", lead, [html.facts(facts)])


def _rewards(tables: dict[str, pd.DataFrame]) -> Section:
    """Of what stands behind the prompts."""
    rewards, train = {name: table["reward"].to_numpy() for name, table in tables.items()}, tables["train"]
    edges = np.linspace(-1 - 1 / 12, 1 + 1 / 12, 14)
    drawing, axes = outlines({n: np.histogram(one, edges)[0] / len(one) for n, one in rewards.items()}, edges, 42, 160)
    axes.set_xlabel("reward")
    numbers_across(axes)
    drawn = figure(drawing, "Rewards", "Share of the texts.", "Histograms of rewards in train, val and test")
    order = np.argsort(rewards["train"], kind="stable")
    chosen = order[np.linspace(0, len(order) - 1, SHOWN).astype(int)]
    rows = [
        {"Prompt": train["prompt"][row], "Text": train["rest"][row], "Reward": float(train["reward"][row])}
        for row in chosen
    ]
    mean = number(float(rewards["train"].mean()))
    lead = f"Between -1 and 1; {mean} in the mean of the training texts. What stands behind the prompt is judged."
    return Section("Rewards", lead, [html.grid([drawn]), html.table(rows, "Training texts from the worst to the best")])


def _lengths(tables: dict[str, pd.DataFrame], card: JsonObject) -> Section:
    sizes = {name: table["tokens"].to_numpy() for name, table in tables.items()}
    edges = np.linspace(0, float(np.percentile(sizes["train"], 99.5)) + 1, 31)
    drawing, axes = outlines({n: np.histogram(one, edges)[0] / len(one) for n, one in sizes.items()}, edges, 42, 160)
    axes.set_xlabel("tokens")
    numbers_across(axes)
    alt = "Histograms of the number of tokens in train, val and test, one over the other"
    longer = float((sizes["train"] > card["schema"]["prompt"] + card["schema"]["new"]).mean())
    lead = f"Half of the training texts have {np.median(sizes['train']):.0f} tokens or fewer; {longer:.0%} are cut."
    return Section("Lengths", lead, [html.grid([figure(drawing, "Tokens", "Share of texts by tokens.", alt)])])


def _words(texts: list[str]) -> Section:
    counts = Counter(word for text in texts for word in text.split())
    total = counts.total()
    shares = {word: times / total for word, times in counts.most_common(FREQUENT)}
    lead = f"{total:,} words in train, {len(counts):,} different ones."
    drawn = bars(shares, "Words", "Share of the training words.", "Bars of the most frequent words")
    return Section("Words", lead, [html.grid([drawn])])
