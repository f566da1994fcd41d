"""Compares two trainings of a project, as Markdown for a pull request comment."""

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass

from roadmap.config.params import flat
from roadmap.io.json import JsonObject

POINTS = 25  # per line of the chart
LESS_IS_BETTER = {
    "latency.batch_1.p50_ms": ("one request, median", "ms"),
    "latency.batch_1.p95_ms": ("one request, 95th percentile", "ms"),
    "size_bytes": ("bundle", "bytes"),
    "parameters": ("parameters", ""),
    "seconds.train": ("training", "s"),
}
COLOURS = '%%{init: {"themeVariables": {"xyChart": {"plotColorPalette": "#2b8a3e, #adb5bd"}}}}%%'


@dataclass(frozen=True)
class Training:
    """The outputs of one training; None for what is missing."""

    name: str
    params: JsonObject  # its parameters, as dotted keys
    metrics: JsonObject | None
    history: bytes | None
    decision: JsonObject | None = None


def markdown(project: str, old: Training, new: Training) -> str:
    """`new` must have metrics."""
    assert new.metrics is not None
    before, after = old.metrics, new.metrics
    parts = [f"### {project}: {verdict(before, after, old.name)}", table(before, after, old.name)]
    if before is None:
        parts.append(f"`{old.name}` has no results of {project} in DVC's cache or remote; there is no comparison.")
    elif before["data_sha256"] != after["data_sha256"]:
        parts.append(f"**The data differ** from those of `{old.name}`: the metrics are not comparable.")
    parts += [changed(old.params, new.params), gate(new.decision), chart(old, new)]
    return "\n\n".join(filter(None, parts)) + "\n"


def verdict(before: JsonObject | None, after: JsonObject, base: str) -> str:
    """One line: the headline metric, and whether its change is significant."""
    new = after["headline"]
    if before is None or before["headline"]["name"] != new["name"]:
        return f"{new['name']} {new['value']:.4f}"
    old = before["headline"]
    change = new["value"] - old["value"]
    if change == 0:
        return f"{new['name']} {new['value']:.4f}, same as {base}"
    better = (change > 0) == new["higher_is_better"]
    apart = new["ci95_low"] > old["ci95_high"] or new["ci95_high"] < old["ci95_low"]
    sure = "" if apart else ", within the confidence intervals"
    return f"{new['name']} {new['value']:.4f}, {'better' if better else 'worse'} by {abs(change):.4f}{sure}"


def table(before: JsonObject | None, after: JsonObject, base: str) -> str:
    """`rows` as Markdown."""
    lines = [("", base, "this run", "change"), (":--", "--:", "--:", ":--"), *rows(before, after)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def rows(before: JsonObject | None, after: JsonObject) -> Iterator[tuple[str, str, str, str]]:
    """Name, value before, value after and change of each metric. before, after: the contents of metrics.json"""
    headline = after["headline"]
    earlier = before["headline"] if before is not None and before["headline"]["name"] == headline["name"] else None
    direction = "higher" if headline["higher_is_better"] else "lower"
    yield (
        f"**{headline['name']}** ({direction} is better)",
        interval(earlier) if earlier else "",
        interval(headline),
        change(earlier["value"], headline["value"], headline["higher_is_better"]) if earlier else "",
    )
    old, new = flat(before or {}), flat(after)
    for key, value in new.items():
        name, unit = LESS_IS_BETTER.get(key, (key.removeprefix("metrics."), ""))
        if key in LESS_IS_BETTER or key.startswith("metrics."):
            less = False if key in LESS_IS_BETTER else None
            was = old.get(key)
            compared = "" if was is None else change(was, value, less, unit)
            yield name, "" if was is None else figure(was, unit), figure(value, unit), compared
    pick = max if headline["higher_is_better"] else min
    if after["baselines"]:
        best = pick(after["baselines"], key=lambda name: after["baselines"][name]["test"])
        yield f"best baseline: {best}", "", f"{after['baselines'][best]['test']:.4f}", ""


def interval(headline: JsonObject) -> str:
    return f"{headline['value']:.4f} ({headline['ci95_low']:.4f} to {headline['ci95_high']:.4f})"


def figure(value: float, unit: str = "") -> str:
    text = f"{value:,}" if isinstance(value, int) else f"{value:.3g}" if unit else f"{value:.4f}"
    return f"{text} {unit}".rstrip()


def change(before: float, after: float, higher_is_better: bool | None, unit: str = "") -> str:
    """The change, and whether it is better, if the direction is known."""
    if after == before:
        return "none"
    size = f"{'+' if after > before else '-'}{figure(abs(after - before), unit)}"
    if higher_is_better is None:
        return size
    return f"{size}, {'better' if (after > before) == higher_is_better else 'worse'}"


def changed(before: JsonObject, after: JsonObject) -> str:
    """The keys of params.yaml that differ."""
    keys = [key for key in {**before, **after} if (key in before, before.get(key)) != (key in after, after.get(key))]
    if not keys:
        return ""
    lines = (f"| `{key}` | {code(before, key)} | {code(after, key)} |" for key in keys)
    return "\n".join(("| params.yaml | before | now |", "| :-- | :-- | :-- |", *lines))


def code(values: JsonObject, key: str) -> str:
    if key not in values:
        return ""
    text = json.dumps(values[key], ensure_ascii=False, default=str).replace("|", "\\|").replace("`", "'")
    return f"`{text}`"


def gate(decision: JsonObject | None) -> str:
    """The checks of decision.json as a list; None if the gate has not run."""
    if decision is None:
        return "The gate has not run."
    checks = (
        f"- {'✅' if one['passed'] else '❌'} {name}: {one['reason']}" for name, one in decision["checks"].items()
    )
    return "\n".join((f"**The gate {'passes' if decision['promoted'] else 'rejects'} it.**", "", *checks))


def chart(old: Training, new: Training) -> str:
    """Validation loss by epoch as Mermaid, which GitHub renders in comments."""
    lines = [losses(new.history), losses(old.history)]
    if not lines[0]:
        return ""
    epochs = range(1, max(map(len, lines)) + 1)
    step = -(-len(epochs) // POINTS)
    drawn = [f"    line [{', '.join(f'{loss:.5g}' for loss in line[::step])}]" for line in lines if line]
    axes = (f'    x-axis "epoch" [{", ".join(map(str, epochs[::step]))}]', '    y-axis "validation loss"')
    grey = f", grey: `{old.name}`" if lines[1] else ""
    block = "\n".join(("```mermaid", COLOURS, "xychart-beta", *axes, *drawn, "```"))
    return f"Validation loss; green: {new.name}{grey}.\n\n{block}"


def losses(history: bytes | None) -> list[float]:
    """Of the shipped model; a variant's columns are prefixed with its name."""
    rows = csv.DictReader((history or b"").decode().splitlines())
    return [float(row["val_loss"]) for row in rows if row.get("val_loss")]
