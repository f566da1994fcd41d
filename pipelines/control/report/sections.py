"""What the data report shows of an environment: its starts, what policies that learn nothing earn, and an episode."""

from pathlib import Path

import numpy as np
import pandas as pd

from pipelines.control.data import Data, of_targets
from pipelines.control.data.environments.pictures import picture
from pipelines.control.data.episodes import Act, Moment, moments
from pipelines.control.data.policies import policies
from roadmap.data import splits
from roadmap.io.json import JsonObject
from roadmap.reporting import html
from roadmap.reporting.figures import chart, figure, legend, panel
from roadmap.reporting.formatting import number
from roadmap.reporting.histograms import histogram, numbers_across, shown_range
from roadmap.reporting.html import Html
from roadmap.reporting.page import Section, provenance
from roadmap.reporting.style import SPLIT_COLOURS

EPISODES, LONGEST = 20, 500  # episodes of each policy; steps that are drawn


def sections(folder: Path, card: JsonObject) -> list[Section]:
    """folder: of the prepared splits; card: its card.json"""
    schema = card["schema"]
    _, targets = Data().test_rows(folder)
    episodes = {name: _episodes(targets[:EPISODES], act) for name, act in policies(schema, 0)}
    starts = {name: splits.read_arrays(folder, name)["observations"] for name in splits.SPLITS}
    return [_overview(card, starts), _starts(schema, starts), _earned(episodes), _episode(schema, episodes)]


def _episodes(targets: np.ndarray, act: Act) -> list[Moment]:
    return list(moments(of_targets(targets), act, targets["seed"].tolist()))


def _overview(card: JsonObject, starts: dict[str, np.ndarray]) -> Section:
    schema = card["schema"]
    seen = f"{schema['states']} states" if schema["states"] else ", ".join(schema["observations"])
    facts = [
        ("Environment", schema["environment"]),
        ("Observation", seen),
        ("Actions", ", ".join(schema["actions"])),
        ("Longest episode", f"{schema['limit']:,} steps"),
        *((f"Starts, {name}", f"{len(part):,}") for name, part in starts.items()),
        *provenance(card),
    ]
    lead = (
        f"{schema['environment']} with {len(schema['actions'])} actions. Training draws starts of its own; a policy is "
        f"judged by {len(starts['test']):,} episodes whose starts it has never seen."
    )
    return Section("Overview", lead, [html.facts(facts)])


def _starts(schema: JsonObject, starts: dict[str, np.ndarray]) -> Section:
    whole = np.concatenate(list(starts.values()))
    if whole.ndim == 1:
        lead = f"Episodes begin in {len(np.unique(whole))} of {schema['states']} states."
        rows = [{"Split": name, "First states": len(np.unique(part))} for name, part in starts.items()]
        return Section("Starts", lead, [html.table(rows, "Different first states")])
    drawn = []
    for place, name in enumerate(schema["observations"]):
        drawing = chart(170)
        column = pd.Series(whole[:, place])
        axes = panel(drawing, 46, 30, 302, 120)
        histogram(axes, column, *shown_range(column))
        drawn.append(figure(drawing, name, "First observations.", f"Histogram of {name} in first observations"))
    same = len(whole) - len(np.unique(whole, axis=0))
    lead = f"{len(whole):,} first observations, {same} of them repeated."
    return Section("Starts", lead, [html.grid(drawn)])


def _earned(episodes: dict[str, list[Moment]]) -> Section:
    rows = []
    for name, seen in episodes.items():
        returns = sum(moment.step.rewards * moment.alive for moment in seen)
        lengths = sum(moment.alive.astype(int) for moment in seen)
        rows.append(
            {"Policy": name, "Mean return": float(np.mean(returns)), "Lowest": float(np.min(returns)),
             "Highest": float(np.max(returns)), "Mean steps": float(np.mean(lengths))}
        )  # fmt: skip
    best = max(rows, key=lambda row: row["Mean return"])  # type: ignore[arg-type, return-value]
    lead = f"Without learning, “{best['Policy']}” earns most: {number(float(best['Mean return']))} in the mean."  # type: ignore[arg-type]
    return Section("What needs no learning", lead, [html.table(rows, f"{EPISODES} episodes of each policy")])


def _episode(schema: JsonObject, episodes: dict[str, list[Moment]]) -> Section:
    """The first test episode, by the first and the last of the policies: animated where its looks are known. The
    trained policy's is plots/episode.svg, since this report is of the data."""
    parts = []
    for name in dict.fromkeys((next(iter(episodes)), list(episodes)[-1])):
        seen = np.array([moment.observations[0] for moment in episodes[name] if moment.alive[0]][:LONGEST])
        alt = f"An episode of {schema['environment']} by the policy “{name}”"
        words = f"The first test start, {len(seen)} steps."
        parts.append(html.captioned(_drawn(schema, seen, alt), f"By “{name}”.", words))
    return Section("An episode", "One start, two policies, over and over.", [html.grid(parts)])


def _drawn(schema: JsonObject, seen: np.ndarray, alt: str) -> Html:
    environment = schema["environment"]
    if (shown := picture(environment, seen, alt)) is not None:
        return Html(shown)
    drawing = chart(220)
    axes = panel(drawing, 46, 30, 302, 150)
    names = schema["observations"] if seen.ndim > 1 else ["state"]
    for name, column, colour in zip(names, np.atleast_2d(seen.T), SPLIT_COLOURS.values(), strict=False):
        axes.plot(column, color=colour, label=name, linewidth=1)
    axes.set_xlabel("step")
    numbers_across(axes)
    legend(axes)
    return figure(drawing, environment, "What was observed, step by step.", alt)
