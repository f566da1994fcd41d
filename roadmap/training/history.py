"""history.csv: the metrics of training, one row per epoch.

The shipped model's columns have plain names, so that DVC can plot them; those of a variant begin with `<variant>/`.
"""

import csv
from pathlib import Path

from roadmap.config.schema import SHIPPED
from roadmap.io.errors import UsageError, of_file

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
    """(variant, row) for each epoch of each model.

    Raises:
        UsageError: it is missing, or holds other things.
    """
    path, remedy = folder / "history.csv", f"run `dvc repro train@{folder.name}`"
    rows: dict[tuple[str, float], Row] = {}
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file, strict=True)
            for line in reader:
                epoch = float(line["epoch"])
                for column, value in line.items():
                    variant, _, name = column.rpartition("/")
                    if value and column != "epoch":  # which an earlier network may have more of than the model
                        rows.setdefault((variant or SHIPPED, epoch), {"epoch": epoch})[name] = float(value)
    except OSError as error:
        raise UsageError(f"{of_file(error)}; {remedy}") from None
    except (ValueError, KeyError, TypeError, AttributeError, csv.Error):
        raise UsageError(f"{path}: found a line that is no epoch of numbers; {remedy}") from None
    if not any("train_loss" in row for row in rows.values()):
        raise UsageError(f"{path}: found no epoch with train_loss; {remedy}")
    return [(variant, row) for (variant, _), row in rows.items()]
