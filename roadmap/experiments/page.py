"""The comparison of champion and challenger as one HTML page, the decision first.

`content` is what ab.json holds. `arms` is empty as long as the challenger has answered nothing, and `off_policy` is the
estimate of what it would have earned, or None: roadmap/experiments/off_policy.py.
"""

import json
from datetime import date
from pathlib import Path

import matplotlib.dates as mdates

from roadmap.io.atomic import write_atomically
from roadmap.io.json import JsonObject
from roadmap.reporting import html, page, style
from roadmap.reporting.figures import chart, figure, panel
from roadmap.reporting.formatting import count, percent
from roadmap.reporting.html import Html
from roadmap.reporting.page import Section

WIDTH, HEIGHT = 660, 240


def mark(text: str, bad: bool) -> Html:
    return Html(f'<span class="verdict {"differs" if bad else "alike"}">{html.escape(text)}</span>')


def page_title(content: JsonObject) -> str:
    return f"{content['project']}: champion and challenger"


def publish(home: Path, content: JsonObject) -> None:
    """Writes ab.html, which the server shows at /compare/<project>, and ab.json. home: artifacts/<project>"""
    write_atomically(home / "monitoring" / "ab.html", render(content))
    write_atomically(home / "monitoring" / "ab.json", json.dumps(content, indent=2) + "\n")


def render(content: JsonObject) -> str:
    about = f"Since {content['since'][:16].replace('T', ' ')} UTC, as of {content['at'][:16].replace('T', ' ')} UTC"
    live = (verdict, arms) if content["arms"] else ()
    with style.applied():
        sections = [*(section(content) for section in live), *days(content), *before(content)]
        return page.render(page_title(content), html.escape(about), sections)


OFF_POLICY = {
    "better": "would have earned more",
    "worse": "would have earned less",
    "open": "no difference shown",
    "silent": "the log cannot say",
}
ESTIMATORS = {"ips": "importance sampling", "snips": "self-normalised", "dr": "doubly robust"}


def before(content: JsonObject) -> list[Section]:
    """What the challenger would have earned, by the champion's log: known before it answers anybody."""
    if not (found := content.get("off_policy")):
        return []
    facts = [
        ("Challenger", mark(OFF_POLICY[found["verdict"]], bad=found["verdict"] in ("worse", "silent"))),
        ("Episodes", f"{found['episodes']:,}"),
        ("Speak of the challenger", f"{found['effective']:.1f}, needed: {found['least']:g}"),
    ]
    named = {"served": found["logged"], **{ESTIMATORS[name]: one for name, one in found["estimates"].items()}}
    rows = [
        {"": name, "return": one["value"], "95% interval": f"{one['low']:.4g} to {one['high']:.4g}"}
        for name, one in named.items()
    ]
    text = (
        "Importance sampling counts an episode by how much likelier the challenger was to do what was done in it. "
        "Where the two seldom agree, few episodes carry all weight, and the log cannot say, whatever the interval."
    )
    table = html.table(rows, "Mean return of an episode, not discounted")
    return [Section("Before it is let loose", found["summary"], [html.facts(facts), table, html.paragraph(text)])]


def verdict(content: JsonObject) -> Section:
    score, mirrored = content["score"], content["mirrored"]
    facts: list[tuple[str, object]] = []
    if score:
        facts += [
            ("Challenger", mark(score["verdict"], bad=score["verdict"] == "worse")),
            ("Always valid p", f"{score['p']:.2g}"),
            (f"{score['metric']}, champion", f"{score['champion']:.4f}"),
            (f"{score['metric']}, challenger", f"{score['challenger']:.4f}"),
            ("Labels", f"{score['labels']:,}"),
        ]
    facts.append(("Mirrored inputs", f"{mirrored['inputs']:,}"))
    if mirrored["agreement"] is not None:
        facts.append(("Agreement", percent(mirrored["agreement"])))
    text = (
        "The interval covers the true difference at all times with 95% probability, so peeking every day is fine and "
        "the first decision is safe to act on. A traffic split is evaluated per prediction: if a few callers send most "
        "requests, their predictions are correlated and the interval is too narrow."
    )
    return Section("Verdict", content["summary"], [html.facts(facts), html.paragraph(text)])


def arms(content: JsonObject) -> Section:
    rows = [
        {
            "": arm["role"],
            "version": html.code(arm["version"]),
            "requests": arm["requests"],
            "inputs": arm["inputs"],
            "p50, ms": shown(arm["p50_ms"]),
            "p99, ms": shown(arm["p99_ms"]),
            "failed": shown(arm["failed"]),
        }
        for arm in content["arms"]
    ]
    requests = " and ".join(f"{count(arm['requests'], 'request')} to the {arm['role']}" for arm in content["arms"])
    lead = (
        f"{requests}. The champion's latency covers the whole response; a shadow request's excludes its wait in the "
        "queue."
    )
    return Section(
        "Both versions", lead, [html.table(rows, f"From the prediction log; failures: {content['failures']}")]
    )


def shown(value: float | None) -> float | str:
    return "unknown" if value is None else value


def days(content: JsonObject) -> list[Section]:
    """The interval by day, if there are labels."""
    score = content["score"]
    looks = [one for one in score["looks"] if one["low"] is not None] if score else []
    if not looks:
        return []
    last = looks[-1]
    lead = (
        f"By {last['day']} the mean difference in score per prediction is {last['difference']:+.4g}, between "
        f"{last['low']:+.4g} and {last['high']:+.4g}."
    )
    return [Section("Day by day", lead, [drawing(looks)])]


def drawing(looks: list[JsonObject]) -> Html:
    canvas = chart(HEIGHT, WIDTH)
    axes = panel(canvas, 62, 30, WIDTH - 80, HEIGHT - 44)
    at = mdates.date2num([date.fromisoformat(one["day"]) for one in looks])
    middle, low, high = ([one[name] for one in looks] for name in ("difference", "low", "high"))
    axes.fill_between(at, low, high, color=style.BLUE, alpha=0.18, linewidth=0)
    axes.plot(at, middle, color=style.BLUE, marker="o", markersize=3)
    axes.axhline(0, color=style.MUTED, linewidth=1, linestyle=(0, (4, 3)))
    locator = mdates.AutoDateLocator(maxticks=7)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(mdates.ConciseDateFormatter(locator))
    caption = "Mean score per prediction, challenger minus champion, with the interval that is valid at all times."
    alt = f"Line from {looks[0]['day']} to {looks[-1]['day']}, ending at {middle[-1]:.4g}"
    return figure(canvas, "Challenger minus champion", caption, alt, wide=True)
