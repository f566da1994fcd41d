"""Labelled texts on disk: tables, JSON Lines, and folders or archives with one file per text."""

import json
import lzma
import re
import tarfile
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from roadmap.data import csv_table, tables
from roadmap.inference.text import MOST
from roadmap.io.errors import UsageError, nearest, of_file
from roadmap.io.texts import decoded

OFFICIAL = {"neg": "negative", "pos": "positive"}  # the folders of aclImdb
SPLIT = re.compile(r"(?:^|/)(train|test)/([^/]+)/[^/]+\.txt$")
PLAIN = re.compile(r"(?:^|/)([^/]+)/[^/]+\.txt$")


@dataclass(frozen=True)
class TextFile:
    place: str  # its path, in the folder or archive
    text: str


def from_csv(path: str, text: str, target: str) -> tuple[pd.DataFrame, list[str]]:
    """-> texts with the numbers of their classes, names of the classes

    Raises:
        UsageError: unreadable, no such column, or a text that is too long.
    """
    cells = csv_table.read(path, [target], raw=[text])
    if text not in cells.columns or text == target:
        others = [name for name in cells.columns if name != target]
        raise UsageError(f"{path}: line 1: no column {text!r} beside {target!r}; allowed: {', '.join(others)}")
    frame = csv_table.typed(cells, target, None, raw=[text]).frame
    for row, review in frame[text].items():
        check_length(review, f"{path}: data row {int(str(row)) + 1}, column {text!r}")
    frame[target], classes = tables.class_target(frame[target], path)
    return tidy(frame, text, target), classes


def from_json_lines(path: str, text: str, target: str) -> tuple[pd.DataFrame, list[str]]:
    """As `from_csv`, of one JSON object per line; null is a gap.

    Raises:
        UsageError: unreadable, a line that isn't an object with both keys, or no target.
    """
    try:
        lines = decoded(Path(path).read_bytes(), path).split("\n")
    except OSError as error:
        raise UsageError(f"{of_file(error)}; expected a file of JSON Lines") from None
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            rows.append(_row(line, f"{path}: line {number}", text, target))
    labels = pd.Series([row[target] for row in rows], dtype=object)
    frame = pd.DataFrame({text: [row[text] for row in rows], target: labels})
    gone = frame[target].isna()
    if gone.any():
        print(
            f"{path}: {gone.sum():,} rows without target {target!r} left out, the first line {int(gone.argmax()) + 1}"
        )
    frame = frame[~gone]
    if frame.empty:
        raise UsageError(f"{path}: found no row with a value in {target!r}; expected a JSON object per line")
    if not frame[target].map(lambda label: isinstance(label, str | bool)).any():
        frame[target] = frame[target].astype("float64")
    else:
        frame[target] = frame[target].map(str)
    frame[target], classes = tables.class_target(frame[target], path)
    return tidy(frame, text, target), classes


def _row(line: str, where: str, text: str, target: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise UsageError(f"{where}: is no JSON: {error}; expected an object with {text!r} and {target!r}") from None
    if not isinstance(row, dict):
        raise UsageError(f"{where}: found {type(row).__name__}; expected an object with {text!r} and {target!r}")
    for name in (text, target):
        if name not in row:
            raise UsageError(f"{where}: no field {name!r}; {nearest(name, list(row))}")
    found, label = row[text], row[target]
    if not isinstance(found, str | None):
        raise UsageError(f"{where}: {text!r}: found {str(found)[:40]!r}; expected a text or null")
    if not isinstance(label, str | int | float | None) or label != label or label in (float("inf"), -float("inf")):
        raise UsageError(f"{where}: {target!r}: found {str(label)[:40]!r}; expected the name or number of a class")
    check_length(found or "", f"{where}, field {text!r}")
    label = (label.strip() or None) if isinstance(label, str) else label
    return {text: found, target: label}


def check_length(text: str, where: str) -> None:
    """Raises: UsageError: a text that no request may have."""
    if len(text) > MOST:
        raise UsageError(f"{where}: found {len(text):,} characters; expected at most {MOST:,}, as of a request")


def tidy(frame: pd.DataFrame, text: str, target: str) -> pd.DataFrame:
    return pd.DataFrame({"text": frame[text], "label": frame[target].astype("int64")})


def from_files(path: Path) -> tuple[dict[str, pd.DataFrame], list[str]]:
    """Texts of {train,test}/<class>/*.txt by split, or all as `""` of <class>/*.txt; and the names of the classes.

    Sorted by name, so that a folder and an archive give the same splits. A class that one of train and test lacks, as
    aclImdb's `unsup`, is left out and said.

    Raises:
        UsageError: missing path, unreadable archive, fewer than two classes.
    """
    found = list(files(path))
    marked = [(match[1], match[2], file) for file in found if (match := SPLIT.search(file.place))]
    if not marked:
        marked = [("", match[1], file) for file in found if (match := PLAIN.search(file.place))]
    in_split: dict[str, set[str]] = {}
    for split, label, _ in marked:
        in_split.setdefault(split, set()).add(label)
    labels = sorted(set.intersection(*in_split.values())) if in_split else []
    lone = Counter(f"{split}/{label}" for split, label, _ in marked if split and label not in labels)
    if set(in_split) not in ({""}, {"train", "test"}) or len(labels) < 2:
        folders = ", ".join(sorted({f"{split}/{label}".strip("/") for split, label, _ in marked})[:6]) or "none"
        raise UsageError(
            f"{path}: found {len(found)} texts in the folders {folders}; expected <class>/*.txt of at least two "
            "classes, or train/<class>/*.txt and test/<class>/*.txt, as aclImdb has them"
        )
    for place, count in lone.items():
        print(f"{path}: {count:,} texts of {place} left out: the class is not in train and in test")
    rows: dict[str, list[tuple[int, str, str]]] = {split: [] for split in in_split}
    for split, label, file in marked:
        if label in labels:
            rows[split].append((labels.index(label), Path(file.place).name, file.text))
    columns = ["label", "name", "text"]
    parts = {split: pd.DataFrame(sorted(each), columns=columns)[["text", "label"]] for split, each in rows.items()}
    return parts, [OFFICIAL[label] for label in labels] if set(labels) == set(OFFICIAL) else labels


def files(path: Path) -> Iterator[TextFile]:
    """Every *.txt in a folder, an archive or a folder of archives; hidden ones are passed over.

    Raises:
        UsageError: nothing there, or an unreadable file.
    """
    if not path.exists():
        raise UsageError(f"{path}: no such file or folder")
    if path.is_file():
        yield from _archived(path)
        return
    for file in path.rglob("*"):
        place = file.relative_to(path).as_posix()
        if _hidden(place) or not file.is_file():
            continue
        if file.suffix == ".txt":
            yield TextFile(place, _decoded(_content(file), file))
        elif ".tar" in file.suffixes or file.suffix == ".tgz":
            yield from _archived(file)


def _archived(path: Path) -> Iterator[TextFile]:
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                wanted = member.name.endswith(".txt") and not _hidden(member.name)
                if wanted and (file := archive.extractfile(member)):
                    yield TextFile(member.name, _decoded(file.read(), member.name))
    except (tarfile.TarError, EOFError, OSError, ValueError, lzma.LZMAError, zlib.error) as error:
        raise UsageError(f"{path}: unreadable archive ({error}); expected a whole tar archive of texts") from None


def _hidden(place: str) -> bool:
    """What file managers put beside files."""
    return any((part.startswith(".") and part != ".") or part == "__MACOSX" for part in place.split("/"))


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise UsageError(f"{file}: can't be read: {error.strerror}") from None


def _decoded(content: bytes, where: Any) -> str:
    text = decoded(content, str(where))
    check_length(text, str(where))
    return text
