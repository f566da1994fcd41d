"""The page of a project's precisions: quality, speed and size beside fp32, and the layers that lose most."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from roadmap.io.json import JsonObject
from roadmap.quantisation.sensitivity import Sensitivity
from roadmap.reporting import html, page, style
from roadmap.reporting.bars import bars
from roadmap.reporting.page import Section

SHOWN = 25  # layers in the figure; the table has all


@dataclass(frozen=True)
class Result:
    """A precision beside fp32. gain, low, high: of the headline metric, positive is better, with a 95% interval;
    latencies in ms; verdict: the gate's"""

    precision: str
    metric: float
    gain: float
    low: float
    high: float
    p50: float
    p99: float
    load_p50: float
    load_p99: float
    size_mb: float
    verdict: str

    def row(self) -> JsonObject:
        """As JSON."""
        return asdict(self)


def render(
    project: str, headline: str, results: Sequence[Result], layers: Mapping[str, Sequence[Sensitivity]], about: str
) -> str:
    """layers: precision -> its layers; about: what was measured where, as text"""
    with style.applied():
        sections = [_results(headline, results), *(_layers(name, found) for name, found in layers.items() if found)]
        return page.render(f"{project}: precisions", html.escape(about), sections)


def _results(headline: str, results: Sequence[Result]) -> Section:
    rows: list[dict[str, Any]] = [
        {
            "precision": one.precision,
            headline: f"{one.metric:.4f}",
            "gain (95% interval)": f"{signed(one.gain)} ({signed(one.low)} to {signed(one.high)})" if number else "",
            "p50 ms": f"{one.p50:.2f}",
            "p99 ms": f"{one.p99:.2f}",
            "p50 at load": f"{one.load_p50:.2f}",
            "p99 at load": f"{one.load_p99:.2f}",
            "MB": f"{one.size_mb:.2f}",
            "verdict": one.verdict,
        }
        for number, one in enumerate(results)
    ]
    passed = [one.precision for one in results[1:] if one.verdict.startswith("promoted")]
    lead = f"The gate would replace fp32 by {' or '.join(passed)}." if passed else "The gate keeps fp32."
    return Section("Beside fp32", lead, [html.table(rows, "The same test rows and requests, in turns")])


def signed(value: float) -> str:
    """Four digits, without a negative zero."""
    return f"{round(value, 4) + 0.0:+.4f}"


def _layers(precision: str, found: Sequence[Sensitivity]) -> Section:
    ranked = sorted(found, key=lambda one: -one.error)
    several = len({one.graph for one in found}) > 1
    named = {f"{one.graph}: {one.layer.name}" if several else one.layer.name: one for one in ranked}
    worst, saved = ranked[0], sum(one.layer.bytes for one in ranked)
    figure = bars(
        {name: one.error for name, one in list(named.items())[:SHOWN]},
        f"Error of the outputs, {precision}",
        "Each layer alone in this precision, all others in fp32; relative to the size of the outputs.",
        "Relative error by layer",
    )
    rows = [
        {
            "layer": name,
            "weights": " x ".join(map(str, one.layer.shape)),
            "share of the bytes": f"{one.layer.bytes / saved:.1%}",
            "error": f"{one.error:.5f}",
        }
        for name, one in named.items()
    ]
    lead = (
        f"{worst.layer.name} changes the outputs most, by {worst.error:.2%}. `export.keep` takes names of layers that "
        "stay fp32."
    )
    return Section(f"Layers in {precision}", lead, [figure, html.table(rows, f"All {len(rows)} layers, worst first")])
