"""A prepared table, and the wording for its target."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.ticker import Formatter, PercentFormatter

from roadmap.data import splits
from roadmap.io.json import JsonObject
from roadmap.reporting.formatting import number, percent, tick


@dataclass(frozen=True)
class TableDataset:
    parts: dict[str, pd.DataFrame]  # of each split
    target: str
    kinds: dict[str, str]  # number or category, of each column but the target
    classes: list[str] | None  # of a binary target

    @property
    def train(self) -> pd.DataFrame:
        return self.parts["train"]

    @cached_property
    def everything(self) -> pd.DataFrame:
        return pd.concat(self.parts.values(), ignore_index=True)

    @cached_property
    def y(self) -> pd.Series:
        """The target of the training rows, as numbers."""
        return self.train[self.target].astype(float)

    @property
    def all_kinds(self) -> dict[str, str]:
        return {**self.kinds, self.target: "category" if self.classes else "number"}

    def named(self, frame: pd.DataFrame) -> pd.DataFrame:
        """With class names for 0 and 1."""
        if self.classes is None:
            return frame
        return frame.assign(**{self.target: frame[self.target].map(dict(enumerate(self.classes)))})

    @property
    def outcome(self) -> str:
        """The name of the target's mean."""
        if self.classes is None:
            return f"mean {self.target}"
        positive = self.classes[1]
        return f"share {positive}" if len(positive) > 3 else f"share with {self.target} = {positive}"

    def value(self, mean: float) -> str:
        return number(float(f"{mean:.3g}")) if self.classes is None else percent(mean)

    def formatter(self) -> Formatter | Callable[[float, object], str]:
        return PercentFormatter(1, decimals=0) if self.classes else tick


def read(folder: Path, schema: JsonObject) -> TableDataset:
    parts = {name: splits.read_table(folder, name).replace([np.inf, -np.inf], np.nan) for name in splits.SPLITS}
    kinds = {name: spec["kind"] for name, spec in schema["columns"].items()}
    return TableDataset(parts, schema["target"], kinds, schema.get("classes"))
