"""Feature engineering for tables: fitted on the training split, kept as JSON, the same offline and online.

NumPy only, because serving imports it.

A table here is `Columns`: name -> array of length n; float64 with NaN for numbers, object with None for categories.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

from roadmap.inference.tabular.notes import Known
from roadmap.io.json import JsonObject

if TYPE_CHECKING:
    import pandas as pd

FAR = 1e6  # standard deviations: what lies beyond would be infinite in float32

Columns = dict[str, np.ndarray]
Kinds = Mapping[str, Literal["number", "category"]]


def from_rows(rows: Sequence[Mapping[str, object]], kinds: Kinds) -> Columns:
    """Requests as columns; a field that is absent is a gap."""
    columns: Columns = {}
    for name, kind in kinds.items():
        values = [row.get(name) for row in rows]
        if kind == "number":
            columns[name] = np.array([np.nan if value is None else value for value in values], dtype=np.float64)
        else:
            columns[name] = np.array(values, dtype=object)
    return columns


def from_frame(frame: "pd.DataFrame", kinds: Kinds) -> Columns:
    """A pandas DataFrame as columns."""
    columns: Columns = {}
    for name, kind in kinds.items():
        if kind == "number":
            columns[name] = frame[name].to_numpy(dtype=np.float64, na_value=np.nan)
        else:
            values = frame[name].astype(object)
            columns[name] = values.where(values.notna(), None).to_numpy()
    return columns


def kinds_of(columns: Columns) -> dict[str, Literal["number", "category"]]:
    return {name: "number" if values.dtype.kind == "f" else "category" for name, values in columns.items()}


@dataclass(frozen=True)
class Number:
    """log1p where the column is skewed, gaps filled with the median and marked, then (x - mean) / std."""

    column: str
    log: bool
    median: float
    mean: float
    std: float
    gaps: bool
    kind: str = "number"

    @classmethod
    def fit(cls, column: str, values: np.ndarray) -> "Number":
        """values: float64 [n], NaN for gaps"""
        known = values[~np.isnan(values)]
        if not len(known):
            return cls(column, False, 0.0, 0.0, 1.0, True)
        log = bool(known.min() >= 0 and _skewness(known) > 1)
        scaled = np.log1p(known) if log else known
        median = float(np.median(scaled))
        filled = np.append(scaled, np.full(len(values) - len(known), median))
        return cls(column, log, median, float(filled.mean()), float(filled.std()) or 1.0, len(known) < len(values))

    @property
    def names(self) -> list[str]:
        return [f"log({self.column})" if self.log else self.column] + [f"{self.column} missing"] * self.gaps

    def transform(self, values: np.ndarray) -> list[np.ndarray]:
        """float64 [n], NaN for gaps -> float64 [n] for each of `names`"""
        missing = np.isnan(values)
        scaled = np.log1p(np.maximum(values, 0)) if self.log else values
        with np.errstate(over="ignore"):  # what overflows is clipped
            standard = (np.where(missing, self.median, scaled) - self.mean) / self.std
        outputs = [np.clip(standard, -FAR, FAR)]
        return outputs + [missing.astype(np.float64)] * self.gaps


@dataclass(frozen=True)
class Category:
    """One column of zeros and ones per level but the most frequent, and one that marks gaps where training had some.

    A level that training had not, or a gap where it had none, is an average row: the share of each level.
    """

    column: str
    levels: list[str] = field(default_factory=list)
    kind: str = "category"
    gaps: bool = False
    common: str | None = None  # the most frequent level; bundles of old lack it and the shares
    shares: list[float] = field(default_factory=list)  # of `levels`

    @classmethod
    def fit(cls, column: str, values: np.ndarray) -> "Category":
        """values: object [n], None for gaps"""
        known = [str(value) for value in values if value is not None]
        levels, counts = np.unique(known, return_counts=True)
        order = np.argsort(-counts, kind="stable")
        by_count = [str(level) for level in levels[order]]
        common = by_count[0] if by_count else None
        shares = (counts[order][1:] / max(len(known), 1)).tolist()
        return cls(column, by_count[1:], gaps=len(known) < len(values), common=common, shares=shares)

    def seen(self, otherwise: Collection[str]) -> frozenset[str]:
        return frozenset(otherwise) if self.common is None else frozenset([self.common, *self.levels])

    @property
    def names(self) -> list[str]:
        return [f"{self.column}={level}" for level in self.levels] + [f"{self.column} missing"] * self.gaps

    def transform(self, values: np.ndarray) -> list[np.ndarray]:
        """object [n], None for gaps -> float64 [n] for each of `names`"""
        found = [values == level for level in self.levels]
        missing = np.array([value is None for value in values], dtype=bool)
        if not self.shares:
            return [one.astype(np.float64) for one in found] + [missing.astype(np.float64)] * self.gaps
        unseen = ~np.any([values == self.common, *found, missing & self.gaps], axis=0)
        columns = [np.where(unseen, share, one) for one, share in zip(found, self.shares, strict=True)]
        return columns + [missing.astype(np.float64)] * self.gaps


def _skewness(values: np.ndarray) -> float:
    std = values.std()
    return float((((values - values.mean()) / std) ** 3).mean()) if std > 0 else 0.0


@dataclass(frozen=True)
class Features:
    """The whole step: one encoder per column, in order."""

    encoders: list[Number | Category]

    @classmethod
    def fit(cls, columns: Columns) -> "Features":
        return cls(
            [(Number if values.dtype.kind == "f" else Category).fit(name, values) for name, values in columns.items()]
        )

    @property
    def names(self) -> list[str]:
        return [name for encoder in self.encoders for name in encoder.names]

    def transform(self, columns: Columns) -> np.ndarray:
        """-> float32 [n, len(self.names)]"""
        outputs = [output for encoder in self.encoders for output in encoder.transform(columns[encoder.column])]
        return np.stack(outputs, axis=1).astype(np.float32)

    def known(self, levels: Mapping[str, Collection[str]]) -> dict[str, Known]:
        """What training has seen of each column. levels: of categories, for bundles that don't say"""
        return {
            one.column: Known(one.seen(levels.get(one.column, ())) if isinstance(one, Category) else None, one.gaps)
            for one in self.encoders
        }

    def to_json(self) -> list[JsonObject]:
        return [asdict(encoder) for encoder in self.encoders]

    @classmethod
    def from_json(cls, encoders: list[JsonObject]) -> "Features":
        return cls([(Number if encoder["kind"] == "number" else Category)(**encoder) for encoder in encoders])
