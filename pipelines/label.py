"""Adds labels to the prediction log, joined by request id.

    python -m pipelines.label project=titanic file=labels.csv [log=...]

The file is CSV or Parquet: request_id and label, a class name or a number; index, the input within the request
(default 0); time, when the label became known (default now; UTC without a time zone).

All labels are stored or none. A later label replaces an earlier one. Labels of requests that are not in the log,
because they were not sampled or are too old, are counted and skipped.
"""

import os
import sys
from collections import Counter
from collections.abc import Hashable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from roadmap.config.params import known_project
from roadmap.io import command_line
from roadmap.io.errors import Unavailable, UsageError, nearest
from roadmap.io.json import JsonObject
from roadmap.prediction_log.labels import LOOKBACK, Label

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("request_id", "index", "label", "time")
NAMED = 3  # unknown request ids in the message


def label(project: str, file: str, log: str) -> str:
    """Stores the labels of a file; returns a summary.

    Raises:
        UsageError: unknown project, no file or log, an invalid row, or no request of the log.
        Unavailable: the log is unreachable.
    """
    from roadmap.prediction_log import labels

    rows = read(Path(file), schema_of(project))
    if not log:
        raise UsageError("log: missing; give log=<folder or SQLAlchemy URL> or set SERVING_PREDICTIONS")
    if "://" not in log and not Path(log).is_dir():
        raise UsageError(f"log: found no folder {log}")
    now = datetime.now(UTC)
    try:
        inputs: Counter[str] = Counter()  # number of inputs of each logged request
        for row, index in labels.indexed_records(log, project, now - LOOKBACK, now):
            inputs[row.request_id] = max(inputs[row.request_id], index + 1)
        known = [row for row in rows if row.index < inputs[row.request_id]]
        unknown = [f"{row.request_id}[{row.index}]" for row in rows if row.index >= inputs[row.request_id]]
        names = f"{', '.join(unknown[:NAMED])}{', ...' if len(unknown) > NAMED else ''}"
        if not known:
            raise UsageError(
                f"{file}: found none of its {len(rows):,} inputs in the last {LOOKBACK.days} days "
                f"of {project}'s log: {names}"
            )
        labels.write(log, project, known)
    except labels.store_errors(log) as error:  # only the type: a database's message may contain its password
        raise Unavailable(f"log: unreachable ({type(error).__name__})") from None
    done = f"{project}: {len(known):,} labels stored"
    return f"{done}; {len(unknown):,} skipped, their inputs are not in the log: {names}" if unknown else done


def schema_of(project: str) -> JsonObject:
    """The schema of the project's data card.

    Raises:
        UsageError: unknown project, not prepared, or it takes no labels.
    """
    from roadmap.data.splits import read_card
    from roadmap.project import TakesLabels, load_project

    known_project(project)
    if not isinstance(load_project(project).data, TakesLabels):
        raise UsageError(f"project: {project} takes no labels (its Data is not a TakesLabels)")
    return read_card(Path("data", project))["schema"]


def read(path: Path, schema: JsonObject) -> list[Label]:
    """The rows of a file, in order.

    Raises:
        UsageError: with the row, counted from 1, and what is allowed.
    """
    frame = table(path)
    unknown = [name for name in frame if name not in COLUMNS]
    if unknown:
        raise UsageError(f"{path}: unknown column {unknown[0]!r}; {nearest(str(unknown[0]), list(COLUMNS))}")
    for name in ("request_id", "label"):
        if name not in frame:
            raise UsageError(f"{path}: found no column {name!r}; required: request_id, label; optional: index, time")
    if frame.empty:
        raise UsageError(f"{path}: found no rows")
    now, rows = datetime.now(UTC), []
    for number, row in enumerate(frame.to_dict("records"), start=1):
        try:
            rows.append(checked(row, schema, now))
        except ValueError as error:
            raise UsageError(f"{path}: row {number}: {error}") from None
    return rows


def table(path: Path) -> "pd.DataFrame":
    """Columns of strings from CSV, of any type from Parquet.

    Raises:
        UsageError: missing, unreadable, or a header or row that isn't CSV.
    """
    import pandas as pd

    from roadmap.data import csv_table

    if path.suffix != ".parquet":
        return pd.DataFrame(csv_table.read(path, (), expected=COLUMNS).columns)
    try:
        return pd.read_parquet(path)
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file") from None
    except (ValueError, OSError) as error:  # raised by pandas and pyarrow for other formats
        names = str(error).strip().splitlines()[0]
        raise UsageError(f"{path}: unreadable as Parquet ({names})") from None


def checked(row: Mapping[Hashable, object], schema: JsonObject, now: datetime) -> Label:
    """
    Raises:
        ValueError: with the column, what was found and what is allowed.
    """
    from roadmap.feedback.recent import target_of

    request_id, truth = text(row["request_id"]), text(row["label"])
    index, time = text(row.get("index", "")) or "0", text(row.get("time", ""))
    if not request_id:
        raise ValueError("request_id: empty")
    if not index.isascii() or not index.isdigit() or int(index) >= 2**31:
        raise ValueError(f"index: found {index!r}; expected an integer from 0")
    if target_of(truth, schema) is None:
        allowed = nearest(truth, schema["classes"]) if "classes" in schema else "expected a number"
        raise ValueError(f"label: found {truth!r}; {allowed}")
    try:
        known = datetime.fromisoformat(time) if time else now
    except ValueError:
        raise ValueError(f"time: found {time!r}; expected a time like 2026-03-01T12:00:00Z") from None
    return Label(request_id, int(index), truth, known.replace(tzinfo=known.tzinfo or UTC).astimezone(UTC))


def text(value: object) -> str:
    """The value as in CSV: Parquet has classes named 0 and 1 as numbers, and gaps as NaN."""
    if value is None or value != value:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()


class Options(command_line.Options):
    project: str = Field(description="the project of the labelled predictions")
    file: str = Field(description="CSV or Parquet with request_id and label")
    log: str = Field(
        default_factory=lambda: os.environ.get("SERVING_PREDICTIONS", ""),
        description="the prediction log, a folder or a SQLAlchemy URL (SERVING_PREDICTIONS)",
    )


def run(options: Options) -> None:
    print(label(options.project, options.file, options.log))


def main(argv: list[str]) -> int:
    return command_line.run({"": (Options, run)}, __doc__, argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
