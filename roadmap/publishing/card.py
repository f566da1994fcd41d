"""The model card and the data card, written from the bundle, its metrics and the gate's decision.

Mitchell et al., "Model Cards for Model Reporting" (2019); Pushkarna et al., "Data Cards" (2022).
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from roadmap.bundle import Manifest
from roadmap.config.params import flat
from roadmap.io.json import JsonObject


@dataclass(frozen=True)
class Facts:
    """What the cards are written from.

    title      of the project's README
    metrics    metrics.json
    decision   decision.json
    data       card.json of the data
    example    a request of the project, its `inputs`
    """

    manifest: Manifest
    title: str
    metrics: JsonObject
    decision: JsonObject
    data: JsonObject
    example: list[JsonObject]
    licence: str
    transformers: bool


def model_card(facts: Facts, address: str) -> str:
    """README.md with the hub's header.

    address: hub://owner/name, or the folder that it is written to
    """
    from huggingface_hub import EvalResult, ModelCardData

    manifest, metrics, headline = facts.manifest, facts.metrics, facts.metrics["headline"]
    score = EvalResult(
        task_type="other",
        dataset_type=manifest.source,
        dataset_name=manifest.source,
        dataset_split="test",
        metric_type=headline["name"],
        metric_value=headline["value"],
    )
    header = ModelCardData(
        license=facts.licence,
        library_name="transformers" if facts.transformers else "onnx",
        tags=["roadmap", manifest.project, manifest.profile],
        model_name=address.rpartition("/")[2],
        eval_results=[score],
    )
    parts = [
        f"---\n{header.to_yaml()}\n---",
        f"# {facts.title}",
        f"Trained on {manifest.source}, {facts.data['rows']['train']:,} rows ({manifest.profile} profile). "
        f"Bundle {manifest.version}, of {manifest.created[:10]}"
        + (f", commit {manifest.git_commit[:12]}." if manifest.git_commit else "."),
        "## Use\n\n" + use(facts, address),
        f"## Results\n\nOn {metrics['rows']['test']:,} rows kept back; 95% intervals by the bootstrap.\n\n"
        + rows(("", headline["name"]), results(metrics)),
    ]
    if found := slices(metrics):
        parts.append("## By slice\n\n" + found)
    if metrics["behaviour"]:
        parts.append("## Behavioural checks\n\n" + rows(("check", "cases", "passed", "required"), behaviour(metrics)))
    parts += [
        "## Limits\n\n" + "\n".join(f"- {each}" for each in limits(facts)),
        "## Data\n\n" + f"{manifest.source}; licence: {facts.data['licence']}. See [DATA_CARD.md](DATA_CARD.md).",
        "## The gate's decision\n\n" + facts.decision["summary"],
        "## Files\n\n"
        + "The bundle is in `bundle/`; `bundle.json` has the sha256 of each file, which a server checks.\n\n"
        + rows(("file", "sha256"), manifest.files.items()),
    ]
    return "\n\n".join(parts) + "\n"


def use(facts: Facts, address: str) -> str:
    project = facts.manifest.project
    request = json.dumps({"inputs": facts.example[:1]}, ensure_ascii=False)
    if len(request) > 600:
        request = '{"inputs": [...]}'
    name = address.removeprefix("hub://")
    found = (
        f"```bash\npython -m serving --bundles {address if name != address else f'{address}/bundle'}\n"
        f"curl -s localhost:8000/models/{project}/predict -H 'content-type: application/json' \\\n  -d '{request}'\n```"
    )
    if facts.transformers:
        found += (
            f'\n\n```python\nfrom transformers import AutoModel\n\nmodel = AutoModel.from_pretrained("{name}")\n```'
        )
    return found


def results(metrics: JsonObject) -> Iterable[Sequence[str]]:
    headline = metrics["headline"]
    yield "this model", f"{headline['value']:.4f} ({headline['ci95_low']:.4f} to {headline['ci95_high']:.4f})"
    for name, baseline in metrics["baselines"].items():
        yield name, f"{baseline['test']:.4f}"


def slices(metrics: JsonObject) -> str:
    """Every slice has its rows and the headline, under whatever name it has there."""
    columns = list(dict.fromkeys(column for part in metrics["slices"].values() for column in part))
    cells = [[name, *(shown(part.get(column)) for column in columns)] for name, part in metrics["slices"].items()]
    return rows(("slice", *columns), cells) if cells else ""


def behaviour(metrics: JsonObject) -> Iterable[Sequence[str]]:
    for name, check in metrics["behaviour"].items():
        yield name, str(check["cases"]), f"{check['rate']:.1%}", f"{check['asked']:.1%}"


def limits(facts: Facts) -> Iterable[str]:
    """What the figures say about where not to use it."""
    metrics, headline = facts.metrics, facts.metrics["headline"]
    if facts.manifest.profile == "sample":
        yield "It learnt from a small sample, to show the pipeline. The full profile trains on the official data."
    yield f"What is known of it holds for data like {facts.manifest.source}; the data card says what that is."
    known = {name: part[headline["name"]] for name, part in metrics["slices"].items() if headline["name"] in part}
    if len(known) > 1:
        worst = (min if headline["higher_is_better"] else max)(known, key=lambda name: known[name])
        yield f"It is weakest on {worst}: {headline['name']} {known[worst]:.4f}."
    for name, check in metrics["behaviour"].items():
        if check["rate"] < 1:
            yield f"Not always: {name} ({check['rate']:.1%} of {check['cases']} cases)."
    for group, found in metrics.get("fairness", {}).items():
        gaps = ", ".join(f"{name} {value:.2f}" for name, value in found["gap"].items())
        yield f"Largest difference between groups by {group}: {gaps}."


def data_card(facts: Facts) -> str:
    card = facts.data
    schema = [(name, shown(value)) for name, value in flat(card["schema"]).items()]
    parts = [
        f"# Data of {facts.manifest.project}: {card['source']}",
        rows(
            ("", ""),
            [
                ("source", card["source"]),
                ("licence", card["licence"]),
                ("profile", card["profile"]),
                *((f"rows of {name}", f"{count:,}") for name, count in card["rows"].items()),
                ("sha256 of the splits", card["sha256"]),
            ],
        ),
        "The data are not in this repository; the project makes them again from their source, with this checksum.",
        "## Schema\n\n" + rows(("field", "value"), schema),
    ]
    return "\n\n".join(parts) + "\n"


def rows(header: Sequence[str], cells: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    plain = ([cell.replace("|", "\\|").replace("\n", " ") for cell in line] for line in cells)
    return "\n".join(f"| {' | '.join(line)} |" for line in (header, ["---"] * len(header), *plain))


def shown(value: Any) -> str:
    """A cell; long lists are cut."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4f}"
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= 200 else text[:200] + " ..."
