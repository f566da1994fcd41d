"""Reads the daily prices of one symbol from a CSV and cleans them, with notes, or fails with file and row."""

import io
import re
from pathlib import Path

import numpy as np
import pandas as pd

from pipelines.stocks.predict import LARGEST, LEAST, SYMBOL
from pipelines.stocks.predict.features import JUMP
from roadmap.inference.tabular import values
from roadmap.inference.tabular.records import delimiter_of, fitted, names_of, records
from roadmap.inference.tabular.values import clean as clean_cell
from roadmap.inference.tabular.values import number
from roadmap.io.errors import UsageError, nearest, of_file
from roadmap.io.texts import decoded

COLUMNS = ("open", "high", "low", "close", "volume")
GAPS = {"", *(word.lower() for word in values.GAPS)}
STAMP = re.compile(
    r"(?P<clock>.+[T ]\d{2}(?::?\d{2}){0,2}(?:\.\d+)?)\s*(?P<zone>Z|UTC|GMT|[+-]\d{2}(?::?\d{2}){0,2})(?:\s*\[.*\])?"
)
SUMMER = 1.0  # hours between an exchange's offsets
GAP = 10  # days without a price, beyond which a note is worth it


def read_folder(folder: str) -> tuple[dict[str, pd.DataFrame], list[str]]:
    """Reads <SYMBOL>*.csv: the symbol is the file name up to the first `_` or space.

    -> frame by symbol, notes on cleaning

    Raises:
        UsageError: no folder, no CSV file in it, or as `read_files`.
    """
    path = Path(folder)
    if not path.is_dir():
        raise UsageError(f"{folder}: no such folder; data.path must name a folder of <SYMBOL>*.csv")
    files = sorted(file for file in path.iterdir() if file.suffix.lower() == ".csv" and not file.name.startswith("."))
    if not files:
        raise UsageError(f"{folder}: found no .csv file; data.path must name a folder of <SYMBOL>*.csv")
    return read_files(files)


def read_files(files: list[Path]) -> tuple[dict[str, pd.DataFrame], list[str]]:
    """As `read_folder`, of these files.

    Raises:
        UsageError: no symbol in a name, a symbol twice, an unreadable file, or bad prices.
    """
    frames: dict[str, pd.DataFrame] = {}
    notes: list[str] = []
    for file in files:
        symbol = file.stem.replace(" ", "_").partition("_")[0]
        if not 0 < len(symbol) <= SYMBOL:
            raise UsageError(
                f"{file}: symbol (the name up to the first _): found {len(symbol)} characters; expected 1 to {SYMBOL}"
            )
        if symbol in frames:
            raise UsageError(f"{file}: found a second file of {symbol}; expected one file per symbol")
        frames[symbol], found_notes = clean(read(file), str(file))
        notes += found_notes
    return frames, notes


def read(file: Path) -> pd.DataFrame:
    """Columns by case-insensitive name, as strings; the index is the line number.

    Raises:
        UsageError: unreadable, empty, or a row or header that isn't CSV.
    """
    try:
        text = decoded(file.read_bytes(), str(file))
    except OSError as error:
        raise UsageError(of_file(error)) from None

    def lines() -> io.StringIO:
        return io.StringIO(text, newline="")

    known = [spelt for name in ("date", *COLUMNS) for spelt in (name, name.title(), name.upper())]
    delimiter = delimiter_of(lines(), known)
    found = list(records(lines(), delimiter))
    if not found:
        raise UsageError(f"{file}: is empty: No columns in it")
    if bad := next((record for record in found if record.fault), None):
        raise UsageError(f"{file}: line {bad.line}: {bad.fault}")
    header, *rows = found
    names = [name.lower() for name in names_of(header.cells)]
    for name in ("date", *COLUMNS):
        if names.count(name) > 1:
            raise UsageError(f"{file}: line 1: column {name!r} appears more than once")
    for name in ("date", "close"):
        if name not in names:
            raise UsageError(f"{file}: line 1: found no column {name!r}; {nearest(name, names)}")
    cells = []
    for record in rows:
        row = fitted(record.cells, len(names))
        if isinstance(row, str):
            raise UsageError(f"{file}: line {record.line}: {row}")
        cells.append([_plain(cell, delimiter) for cell in row])
    places = [names.index(name) if name in names else None for name in ("date", *COLUMNS)]
    columns = [[None if place is None else row[place] for row in cells] for place in places]
    index = [record.line for record in rows]
    return pd.DataFrame(dict(zip(("date", *COLUMNS), columns, strict=True)), index=index, dtype=object)


def _plain(cell: str, delimiter: str) -> str | None:
    """Without blanks, with a point where the file has decimal commas; None for a gap."""
    text = clean_cell(cell)
    if text.lower() in GAPS:
        return None
    return text if number(text, delimiter) is None else text.replace(",", ".")


def clean(frame: pd.DataFrame, where: str) -> tuple[pd.DataFrame, list[str]]:
    """Cleans the frame: unique ascending dates, positive prices, a close in every row. -> the frame, notes

    Raises:
        UsageError: with file and row: not a number, a price of zero or less, two prices for one day, an
            unadjusted split.
    """
    notes, file = [], Path(where).name
    frame = frame.dropna(how="all")
    frame = frame.assign(date=_days(frame["date"], where))
    for name in COLUMNS:
        frame[name] = _numbers(frame[name], where)
        bad = frame.index[(frame[name] < 0) | ((frame[name] == 0) & (name != "volume"))]
        if len(bad):
            raise UsageError(f"{where}: row {bad[0]}: {name} is {frame[name][bad[0]]:g}; expected a positive price")
        far = frame.index[((frame[name] < LEAST) | (frame[name] > LARGEST)) & (name != "volume")]
        if len(far):
            found = f"{name} is {frame[name][far[0]]:g}"
            raise UsageError(f"{where}: row {far[0]}: {found}; expected {LEAST:g} to {LARGEST:g}, as of a request")
    gone = frame["close"].isna()
    if gone.any():
        notes.append(
            f"{file}: {gone.sum()} rows without a close dropped, the first {_day(frame['date'][gone].iloc[0])}"
        )
        frame = frame[~gone]
    partly = frame[["open", "high", "low"]].isna().any(axis=1)
    if partly.any() and not frame[["open", "high", "low"]].isna().all().any():
        notes.append(
            f"{file}: {partly.sum()} rows without open, high or low, the first {_day(frame['date'][partly].iloc[0])}"
        )
    if not frame["date"].is_monotonic_increasing:
        notes.append(f"{file}: rows sorted by date")
        frame = frame.sort_values("date", kind="stable")
    twice = frame["date"].duplicated(keep="first")
    if twice.any():
        for day, rows in frame[frame["date"].duplicated(keep=False)].groupby("date"):
            if rows["close"].nunique() > 1:
                (one, other), (first, second) = rows.index[:2], rows["close"].iloc[:2]
                raise UsageError(
                    f"{where}: rows {one} and {other} give {_day(day)} the closes {first:g} and {second:g}; remove one"
                )
        notes.append(f"{file}: {twice.sum()} duplicate rows dropped")
        frame = frame[~twice]
    if frame.empty:
        raise UsageError(f"{where}: found no price")
    jumps = np.flatnonzero(np.abs(np.diff(np.log(frame["close"]))) > np.log(JUMP))
    if len(jumps):
        row = frame.iloc[jumps[0] + 1]
        raise UsageError(
            f"{where}: row {frame.index[jumps[0] + 1]}: the close goes from {frame['close'].iloc[jumps[0]]:g} to "
            f"{row['close']:g} on {_day(row['date'])}; if it is a split, adjust the earlier prices"
        )
    gaps = frame["date"].diff().dt.days
    if (gaps > GAP).any():
        notes.append(f"{file}: no price for {gaps.max():.0f} days before {_day(frame['date'][gaps.idxmax()])}")
    return frame.reset_index(drop=True), notes


def _numbers(column: pd.Series, where: str) -> pd.Series:
    """Gaps are NaN."""
    text = column.where(column.notna(), None)
    values = text.map(lambda cell: np.nan if cell is None else number(str(cell))).astype("float64")
    bad = (values.isna() & text.notna()) | values.isin([np.inf, -np.inf])
    if bad.any():
        row = bad.index[bad][0]
        raise UsageError(f"{where}: row {row}: {column.name} found {column[row]!r}; expected a number")
    return values


def _days(column: pd.Series, where: str) -> pd.Series:
    """The exchange's own day: the one that stands there, whatever offset from UTC stands behind it.

    Raises:
        UsageError: a date that is missing or none, and a time in another zone than the exchange's, whose day it may not
            be: UTC all through, or offsets that differ by more than summer time.
    """
    stamps = column.map(lambda cell: STAMP.fullmatch(str(cell)))
    clock = column.where(stamps.isna(), stamps.map(lambda found: found and found["clock"]))
    when = pd.to_datetime(clock, errors="coerce", format="ISO8601")
    if when.isna().any():
        row = when.index[when.isna()][0]
        found_notes = "is missing" if pd.isna(column[row]) else f"found {column[row]!r}; expected a date"
        raise UsageError(f"{where}: row {row}: {column.name} {found_notes}")
    offsets = {_offset(found["zone"]) for found in stamps.dropna()}
    if offsets == {0.0} or (offsets and max(offsets) - min(offsets) > SUMMER):
        strange = when.index[stamps.notna() & (when != when.dt.normalize())]
        if len(strange):
            found = f"found {column[strange[0]]!r}"
            raise UsageError(f"{where}: row {strange[0]}: {column.name} {found}; expected the exchange's own day")
    return when.dt.normalize()


def _offset(zone: str) -> float:
    """Hours from UTC."""
    digits = re.sub(r"\D", "", zone).ljust(4, "0")
    hours = int(digits[:2]) + int(digits[2:4]) / 60
    return -hours if zone.startswith("-") else hours


def _day(when: object) -> str:
    return str(when)[:10]


def live(symbols: list[str]) -> tuple[dict[str, pd.DataFrame], list[str]]:
    """Adjusted prices from Yahoo Finance, through the optional package yfinance. -> as `read_folder`

    Raises:
        UsageError: the package is not installed, a symbol has no prices, or Yahoo did not answer.
    """
    try:
        import yfinance
    except ModuleNotFoundError:
        raise UsageError(
            "params.yaml: projects.stocks.data.live: found no package yfinance; run `pip install yfinance`"
        ) from None
    frames: dict[str, pd.DataFrame] = {}
    notes: list[str] = []
    for symbol in symbols:
        try:
            found = yfinance.Ticker(symbol).history(period="max", auto_adjust=True)
        except Exception as error:  # any error of the network or of the publisher's page
            raise UsageError(f"yfinance: {symbol}: {type(error).__name__}: {error}".splitlines()[0]) from None
        if found is None or found.empty:
            raise UsageError(f"yfinance: {symbol}: found no prices; check the symbol")
        table = found.rename_axis("date").reset_index().rename(columns=str.lower).reindex(columns=["date", *COLUMNS])
        table["date"] = table["date"].astype(str).str[:10]
        table.index += 2
        frames[symbol], found_notes = clean(table, f"yfinance: {symbol}")
        notes += found_notes
    return frames, notes
