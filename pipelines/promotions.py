"""Prints the promotion log: python -m pipelines.promotions project=mnist

Every move of an alias and every rejected candidate, oldest first, from this machine and MLflow's registry.
"""

from roadmap.config.schema import Run
from roadmap.config.stage import stage
from roadmap.io.json import JsonObject
from roadmap.promotion import log as promotions
from roadmap.tracking import mlflow as tracking


@stage
def main(run: Run) -> None:
    client = tracking.connect() if run.tracking.mlflow else None
    entries = promotions.history(client, run.name, promotions.file(run))
    print("\n".join(map(line, entries)) or f"{run.name}: no entries yet; run `dvc repro register@{run.name}`")


def line(entry: JsonObject) -> str:
    """entry: of the log, roadmap/promotion/log.py says what it has"""
    version, before = entry.get("version"), entry.get("replaced")
    move = f"{entry.get('alias') or 'stays'} {before or '-'} -> {version or '-'}"
    if not entry.get("alias"):
        move = f"version {version or '-'}"
    summary = f": {entry['summary']}" if entry.get("summary") else ""
    return f"{entry['at'][:19]}Z  {entry['event']:<9} {move}, {entry.get('by', 'unknown')}{summary}"


if __name__ == "__main__":
    main()
