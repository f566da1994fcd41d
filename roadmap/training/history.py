"""history.csv: the metrics of training, one row per epoch.

The shipped model's columns have plain names, so that DVC can plot them; those of a variant begin with `<variant>/`.
"""

import csv
from pathlib import Path

from roadmap.config.schema import SHIPPED

Row = dict[str, float]


def write_history(folder: Path, histories: dict[str, list[Row]]) -> None:
    rows: dict[float, Row] = {}
    for variant, history in histories.items():
        for row in history:
            measured = {name: value for name, value in row.items() if name != "epoch"}
            named = {name if variant == SHIPPED else f"{variant}/{name}": value for name, value in measured.items()}
            rows.setdefault(row["epoch"], {"epoch": row["epoch"]}).update(named)
    with (folder / "history.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(name for row in rows.values() for name in row)))
        writer.writeheader()
        writer.writerows(rows.values())


def read_history(folder: Path) -> list[tuple[str, Row]]:
    """(variant, row) for each epoch of each model."""
    rows: dict[tuple[str, float], Row] = {}
    with (folder / "history.csv").open(newline="") as file:
        for line in csv.DictReader(file):
            epoch = float(line["epoch"])
            for column, value in line.items():
                variant, _, name = column.rpartition("/")
                if value:
                    rows.setdefault((variant or SHIPPED, epoch), {"epoch": epoch})[name] = float(value)
    return [(variant, row) for (variant, _), row in rows.items()]
