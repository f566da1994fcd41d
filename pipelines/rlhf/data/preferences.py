"""Preferences: pairs of texts on one prompt, the better one first; read from a file, or judged."""

import json
from pathlib import Path

import pandas as pd

from roadmap.io.errors import UsageError, of_file
from roadmap.io.texts import decoded

FIELDS = ("prompt", "chosen", "rejected")
FEWEST = 20


def read(path: str) -> pd.DataFrame:
    """FIELDS of each line.

    Raises:
        UsageError: unreadable, or a line that is no preference; names it.
    """
    try:
        lines = decoded(Path(path).read_bytes(), path).split("\n")
    except OSError as error:
        raise UsageError(f"{of_file(error)}; expected preferences as JSON Lines") from None
    rows = [row_of(line, f"{path}: line {number}") for number, line in enumerate(lines, 1) if line.strip()]
    if len(rows) < FEWEST:
        raise UsageError(f"{path}: found {len(rows)} preferences; expected at least {FEWEST}")
    return pd.DataFrame(rows)


def row_of(line: str, where: str) -> dict[str, str]:
    expected = 'expected {"prompt": ..., "chosen": ..., "rejected": ...}'
    try:
        row = json.loads(line)
    except ValueError as error:
        raise UsageError(f"{where}: is no JSON: {error}; {expected}") from None
    if not isinstance(row, dict):
        raise UsageError(f"{where}: found {type(row).__name__}; {expected}")
    for name in FIELDS:
        found = row.get(name)
        if not isinstance(found, str) or not found.strip():
            raise UsageError(f"{where}: {name}: found {str(found)[:40]!r}; expected a text")
    if row["chosen"] == row["rejected"]:
        raise UsageError(f"{where}: chosen and rejected are the same text; expected two; leave the line out")
    return {name: row[name] for name in FIELDS}
