"""A user's small CSV, and what `prepare` makes of it."""

from collections.abc import Callable

import pandas as pd

from roadmap.data.splits import PreparedData

SHARES = (0.7, 0.15, 0.15)
ROWS = 60


def csv_of(
    header: str = "area,colour,price",
    row: Callable[[int], str] = lambda i: f"{i * 2},{['red', 'blue'][i % 2]},{i * 5.0}",
) -> str:
    return "\n".join([header, *(row(i) for i in range(1, ROWS + 1))]) + "\n"


def whole(prepared: PreparedData) -> pd.DataFrame:
    return pd.concat(prepared.splits.values(), ignore_index=True)
