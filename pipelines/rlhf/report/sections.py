"""What the data report shows: texts, their lengths, and how the judge's rewards of them are spread."""

from collections import Counter
from pathlib import Path

import numpy as np

from pipelines.rlhf.data import PREFERENCES
from pipelines.rlhf.data.judges import judge_of
from pipelines.rlhf.data.tokens import tokenizer_of
from roadmap.data import splits
from roadmap.io.json import JsonObject
from roadmap.reporting import html
from roadmap.reporting.bars import bars
from roadmap.reporting.figures import figure
from roadmap.reporting.formatting import number
from roadmap.reporting.histograms import numbers_across, outlines
from roadmap.reporting.page import Section, provenance

SHOWN, FREQUENT, JUDGED = 10, 15, 500


def sections(folder: Path, card: JsonObject) -> list[Section]:
    """folder: of the prepared splits; card: its card.json"""
    texts = {name: list(splits.read_table(folder, name)["text"]) for name in splits.SPLITS}
    found = [_overview(texts, card), _rewards(texts, card), _lengths(texts, card), _words(texts["train"])]
    if splits.has(folder, PREFERENCES):
        rows = splits.read_table(folder, PREFERENCES)[:SHOWN].to_dict("records")
        found.append(Section("Preferences", "The first of the file.", [html.table(rows, "Preferences")]))
    return found


def _overview(texts: dict[str, list[str]], card: JsonObject) -> Section:
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


def _rewards(texts: dict[str, list[str]], card: JsonObject) -> Section:
    """Of what stands behind the prompts."""
    schema, tokenizer, judge = card["schema"], tokenizer_of(card), judge_of(card["schema"])
    behind = {
        name: [
            (
                tokenizer.decode(one.ids[: schema["prompt"]]),
                tokenizer.decode(one.ids[schema["prompt"] :][: schema["new"]]),
            )
            for one in tokenizer.encode_batch(part[:JUDGED])
        ]
        for name, part in texts.items()
    }
    rewards = {name: judge([text for _, text in part]) for name, part in behind.items()}
    edges = np.linspace(-1 - 1 / 12, 1 + 1 / 12, 14)
    drawing, axes = outlines({n: np.histogram(one, edges)[0] / len(one) for n, one in rewards.items()}, edges, 42, 160)
    axes.set_xlabel("reward")
    numbers_across(axes)
    drawn = figure(drawing, "Rewards", "Share of the texts.", "Histograms of rewards in train, val and test")
    order = np.argsort(rewards["train"], kind="stable")
    chosen = order[np.linspace(0, len(order) - 1, SHOWN).astype(int)]
    rows = [
        {"Prompt": behind["train"][row][0], "Text": behind["train"][row][1], "Reward": float(rewards["train"][row])}
        for row in chosen
    ]
    mean = number(float(rewards["train"].mean()))
    lead = f"Between -1 and 1; {mean} in the mean of the training texts. What stands behind the prompt is judged."
    return Section("Rewards", lead, [html.grid([drawn]), html.table(rows, "Training texts from the worst to the best")])


def _lengths(texts: dict[str, list[str]], card: JsonObject) -> Section:
    tokenizer = tokenizer_of(card)
    sizes = {name: np.array([len(one.ids) for one in tokenizer.encode_batch(part)]) for name, part in texts.items()}
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
