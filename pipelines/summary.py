"""One table over all projects: what was reached, against what, in which time. `--markdown` prints it for the README."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

COLUMNS = ("project", "data", "headline", "95% interval", "best baseline", "train", "one request", "champion")


def rows(artifacts: Path) -> list[tuple[str, ...]]:
    found = []
    for path in sorted(artifacts.glob("*/metrics.json")):
        metrics = json.loads(path.read_text())
        decision_path = path.with_name("decision.json")
        decision = json.loads(decision_path.read_text()) if decision_path.exists() else {}
        found.append(_row(path.parent.name, metrics, decision))
    return found


def _row(project: str, metrics: dict[str, Any], decision: dict[str, Any]) -> tuple[str, ...]:
    headline = metrics["headline"]
    best = max if headline["higher_is_better"] else min
    name, baseline = best(metrics["baselines"].items(), key=lambda item: item[1]["test"], default=("none", None))
    return (
        project,
        f"{metrics['source']} ({metrics['profile']})",
        f"{headline['name']} {headline['value']:.4f}",
        f"{headline['ci95_low']:.4f} to {headline['ci95_high']:.4f}",
        f"{name} {baseline['test']:.4f}" if baseline else "none",
        f"{metrics['seconds']['train']:.1f} s",
        f"{metrics['latency']['batch_1']['p50_ms']:.2f} ms",
        _champion(decision),
    )


def _champion(decision: dict[str, Any]) -> str:
    if not decision:
        return "not registered"
    return f"version {decision['version']}" if decision["promoted"] else "refused"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m pipelines.summary", description=__doc__)
    parser.add_argument("--markdown", action="store_true", help="a Markdown table instead of one for the terminal")
    parser.add_argument("--artifacts", type=Path, default=Path("artifacts"), help="folder of the projects' outputs")
    args = parser.parse_args()
    table = rows(args.artifacts)
    if not table:
        sys.exit(f"error: no metrics in {args.artifacts}/*/metrics.json; `make run` or `dvc repro` makes them")
    if args.markdown:
        for line in (COLUMNS, ("---",) * len(COLUMNS), *table):
            print("| " + " | ".join(line) + " |")
        return
    from rich.console import Console
    from rich.table import Table

    view = Table(*COLUMNS, title="The roadmap so far")
    for row in table:
        view.add_row(*row)
    Console(width=None if sys.stdout.isatty() else 160).print(view)


if __name__ == "__main__":
    main()
