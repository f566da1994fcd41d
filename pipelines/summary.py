"""One table over all projects: what was reached, against what, in which time. `--readme` renews it in the READMEs."""

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

import yaml

COLUMNS = (
    "project", "data", "headline", "95% interval", "best baseline", "train", "one request", "champion", "trained"
)  # fmt: skip
READMES = (Path("README.md"), Path("README.zh-CN.md"))


def projects() -> list[str]:
    return list(yaml.safe_load(Path("params.yaml").read_text())["projects"])


def rows(artifacts: Path) -> dict[str, list[tuple[str, ...]]]:
    """Profile -> rows in the order of params.yaml."""
    found: dict[str, list[tuple[str, ...]]] = {}
    for project in projects():
        folder = artifacts / project
        if (folder / "metrics.json").exists():
            metrics = json.loads((folder / "metrics.json").read_text())
            found.setdefault(metrics["profile"], []).append(_row(project, folder, metrics))
    return found


def _row(project: str, folder: Path, metrics: dict[str, Any]) -> tuple[str, ...]:
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
        _champion(folder / "decision.json"),
        json.loads((folder / "bundle" / "bundle.json").read_text())["created"][:10],
    )


def _champion(path: Path) -> str:
    if not path.exists():
        return "not registered"
    return "promoted" if json.loads(path.read_text())["promoted"] else "refused"


def markdown(table: list[tuple[str, ...]]) -> str:
    return "".join("| " + " | ".join(line) + " |\n" for line in (COLUMNS, ("---",) * len(COLUMNS), *table))


def renew(text: str, profile: str, table: list[tuple[str, ...]]) -> str:
    """`text` with the rows at hand in its table of `profile`; rows of projects that are not at hand stay.

    Raises:
        ValueError: there is no such table.
    """
    block = re.search(rf"<!-- figures: {profile} -->\n((?:\|.*\n)*)", text)
    if block is None:
        raise ValueError(f"no line '<!-- figures: {profile} -->'")
    old = [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in block[1].splitlines()[2:]]
    new = {row[0]: row for row in (*old, *table)}
    return text[: block.start(1)] + markdown([new[name] for name in projects() if name in new]) + text[block.end(1) :]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m pipelines.summary", description=__doc__)
    parser.add_argument("--markdown", action="store_true", help="a Markdown table instead of one for the terminal")
    parser.add_argument("--readme", action="store_true", help="renew the tables of both READMEs")
    parser.add_argument("--artifacts", type=Path, default=Path("artifacts"), help="folder of the projects' outputs")
    args = parser.parse_args()
    tables = rows(args.artifacts)
    if not tables:
        sys.exit(f"error: no metrics in {args.artifacts}/*/metrics.json; `make run` or `dvc repro` makes them")
    if args.readme:
        for path in READMES:
            text = path.read_text()
            for profile, table in tables.items():
                text = renew(text, profile, table)
            path.write_text(text)
        print(f"{' and '.join(map(str, READMES))}: {', '.join(row[0] for table in tables.values() for row in table)}")
    elif args.markdown:
        print(markdown([row for table in tables.values() for row in table]), end="")
    else:
        show([row for table in tables.values() for row in table])


def show(table: list[tuple[str, ...]]) -> None:
    from rich.console import Console
    from rich.table import Table

    view = Table(*COLUMNS, title="The roadmap so far")
    for row in table:
        view.add_row(*row)
    Console(width=None if sys.stdout.isatty() else 180).print(view)


if __name__ == "__main__":
    main()
