"""The distribution of a model's requests and predictions on its test rows, as counts. It reveals no single row.

The bundle has it as reference.json. Numbers are counted in up to BINS intervals of about equal frequency, categories
by level. Levels with fewer than RARE rows are merged: a name that occurs once identifies a person.
"""

from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from roadmap.monitoring.reference.columns import Column, Columns

FILE = "reference.json"
ROWS = 1_000  # sampled evenly from the test rows: predicting more would slow training down
BINS = 50
RARE = 5
OTHER = "(other)"  # rare and unseen levels


class Counts(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    counts: list[int]
    missing: int

    @property
    def known(self) -> int:
        return sum(self.counts)


class Numbers(Counts):
    """counts[i] rows lie in edges[i-1] < x <= edges[i]; the first and the last interval are open."""

    kind: Literal["number"] = "number"
    edges: list[float]

    def count(self, column: Column) -> "Numbers":
        known = [float(value) for value in column if value is not None]
        places = np.searchsorted(self.edges, known)
        counts = np.bincount(places, minlength=len(self.edges) + 1).tolist()
        return Numbers(counts=counts, missing=len(column) - len(known), edges=self.edges)


class Levels(Counts):
    """counts[i] rows have the level levels[i]; the last level is OTHER."""

    kind: Literal["category"] = "category"
    levels: list[str]

    def count(self, column: Column) -> "Levels":
        places = {level: place for place, level in enumerate(self.levels)}
        known = [places.get(str(value), len(self.levels) - 1) for value in column if value is not None]
        counts = np.bincount(known, minlength=len(self.levels)).tolist()
        return Levels(counts=counts, missing=len(column) - len(known), levels=self.levels)


class Reference(BaseModel):
    """Column -> counts."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rows: int
    columns: dict[str, Annotated[Numbers | Levels, Field(discriminator="kind")]]

    def count(self, columns: Columns) -> dict[str, Numbers | Levels]:
        """Counts a window's rows in the same intervals and levels."""
        return {name: counts.count(columns[name]) for name, counts in self.columns.items()}


def reference(columns: Columns) -> Reference:
    rows = len(next(iter(columns.values())))
    return Reference(rows=rows, columns={name: count_column(column) for name, column in columns.items()})


def count_column(column: Column) -> Numbers | Levels:
    known = [value for value in column if value is not None]
    if any(isinstance(value, str | bool) for value in known):
        names, counts = np.unique([str(value) for value in known], return_counts=True)
        kept = [str(name) for name, count in zip(names, counts, strict=True) if count >= RARE]
        return Levels(counts=[], missing=0, levels=[*kept, OTHER]).count(column)
    return Numbers(counts=[], missing=0, edges=edges(np.array(known, float))).count(column)


def edges(known: np.ndarray) -> list[float]:
    """Quantiles rounded to four digits, so that none is a person's value; midpoints if there are few values.

    known: values without gaps [n]
    """
    if not len(known):
        return []
    values = np.unique(known)
    cuts = (
        (values[:-1] + values[1:]) / 2 if len(values) <= BINS else np.quantile(known, np.linspace(0, 1, BINS + 1)[1:-1])
    )
    return sorted({float(f"{cut:.4g}") for cut in cuts})
