"""data/<project>/: the splits as Parquet (tables) or npz (arrays), and card.json that says where they come from."""

import hashlib
import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from typing_extensions import TypedDict

from roadmap.io.atomic import atomic_folder
from roadmap.io.documents import read_json
from roadmap.io.errors import UsageError, of_file
from roadmap.io.json import JsonObject

if TYPE_CHECKING:
    import pandas as pd

SPLITS = ("train", "val", "test")
FOLDS = 5  # of the cross-validation of classical models, within train and val
RECENT = "recent"  # test rows of the prediction log's labelled windows, where there are any

Split: TypeAlias = "pd.DataFrame | dict[str, np.ndarray]"  # a table, or arrays of n rows by name


@dataclass(frozen=True)
class PreparedData:
    """What a project's `prepare` returns: a DataFrame or a dict of arrays per split, and the card's words."""

    splits: dict[str, Any]  # a DataFrame, or name -> array [n, ...]
    source: str
    licence: str
    schema: JsonObject
    notes: JsonObject = field(default_factory=dict)
    files: dict[str, Path] = field(default_factory=dict)  # copied beside the splits: published weights


def split_indices(
    rows: int, shares: tuple[float, float, float], seed: int, strata: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """Row numbers of train, validation and test: a seeded shuffle, within each stratum where `strata` is given.

    strata: the stratum of each row [rows]

    -> split -> int64 [n], ascending
    """
    rng = np.random.default_rng(seed)
    groups = [np.arange(rows)] if strata is None else [np.flatnonzero(strata == level) for level in np.unique(strata)]
    parts: list[list[np.ndarray]] = [[], [], []]
    for group in groups:
        cuts = np.round(np.cumsum(shares)[:2] * len(group)).astype(int)
        for part, chunk in zip(parts, np.split(rng.permutation(group), cuts), strict=True):
            part.append(chunk)
    return {name: np.sort(np.concatenate(part)) for name, part in zip(SPLITS, parts, strict=True)}


def write(folder: Path, prepared: PreparedData, profile: str) -> JsonObject:
    """Writes the splits and their card, whole or not at all; returns the card."""
    with atomic_folder(folder) as draft:
        for name, split in prepared.splits.items():
            if isinstance(split, dict):
                np.savez(draft / f"{name}.npz", **split)
            else:
                split.to_parquet(draft / f"{name}.parquet", index=False)
        for name, source in prepared.files.items():
            shutil.copyfile(source, draft / name)
        files = {path.name: _sha256(path) for path in sorted(draft.iterdir())}
        card = {
            "project": folder.name,
            "profile": profile,
            "source": prepared.source,
            "licence": prepared.licence,
            "rows": {name: _rows(split) for name, split in prepared.splits.items()},
            "schema": prepared.schema,
            **prepared.notes,
            "files": files,
            "sha256": hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest(),
        }
        (draft / "card.json").write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n")
    return card


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _rows(split: Any) -> int:
    return len(next(iter(split.values()))) if isinstance(split, dict) else len(split)


class Card(TypedDict):
    """card.json"""

    profile: str
    source: str
    rows: dict[str, int]
    schema: JsonObject
    files: dict[str, str]
    sha256: str


def read_card(folder: Path) -> JsonObject:
    """
    Raises:
        UsageError: there is none, or it is no data card, or that of another project.
    """
    card: JsonObject = read_json(folder / "card.json", Card, _remedy(folder))
    if (project := card.get("project", folder.name)) != folder.name:
        found = f"found the data of {project}; expected those of {folder.name}"
        raise UsageError(f"{folder}/card.json: {found}; {_remedy(folder)}")
    return card


def _remedy(folder: Path) -> str:
    return f"run `dvc repro prepare@{folder.name}` first"


def verify(folder: Path) -> None:
    """
    Raises:
        UsageError: a file is missing, or not what `prepare` wrote.
    """
    for name, expected in read_card(folder)["files"].items():
        _require_unchanged(folder / name, expected)


def _require_unchanged(path: Path, expected: str | None) -> None:
    """expected: sha256; None if the card doesn't know it"""
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UsageError(f"{of_file(error)}; expected the split {path.stem}; {_remedy(path.parent)}") from None
    if expected and found != expected:
        raise UsageError(f"{path}: its content differs from that of card.json (sha256); {_remedy(path.parent)}")


def has(folder: Path, split: str) -> bool:
    """Whether `prepare` wrote this split: RECENT is there only where labelled rows have been collected."""
    return any((folder / f"{split}.{kind}").exists() for kind in ("npz", "parquet"))


def read(folder: Path, split: str) -> Split:
    """One split as it was prepared: a DataFrame, or a dict of arrays.

    Raises:
        UsageError: it is missing, or not what `prepare` wrote.
    """
    arrays, table = (folder / f"{split}.{kind}" for kind in ("npz", "parquet"))
    path = arrays if arrays.exists() else table
    _require_unchanged(path, read_card(folder)["files"].get(path.name))
    if path is arrays:
        with np.load(path, allow_pickle=False) as found:
            return dict(found)
    import pandas as pd

    return pd.read_parquet(path)


def read_table(folder: Path, split: str) -> "pd.DataFrame":
    """As `read`, of a project whose splits are tables."""
    found = read(folder, split)
    assert not isinstance(found, dict), f"{folder}/{split}: expected a table"
    return found


def read_arrays(folder: Path, split: str) -> dict[str, np.ndarray]:
    """As `read`, of a project whose splits are arrays, [n, ...] by name."""
    found = read(folder, split)
    assert isinstance(found, dict), f"{folder}/{split}: expected arrays"
    return found
