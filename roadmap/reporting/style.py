"""Figure style: sizes, colours for light and dark pages, matplotlib settings."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl

WIDTH = 360  # of a figure, in CSS pixels: the width of a phone
FONT = 11

# The colour-blind safe palette of Okabe and Ito. In the page each colour is a CSS variable; page.css defines it for
# both schemes.
INK, MUTED, LINE, BLUE, ORANGE, GREEN = "#1b1e23", "#636b76", "#d9dde3", "#0072b2", "#d55e00", "#009e73"
VARIABLES = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    LINE: "var(--line)",
    BLUE: "var(--blue)",
    ORANGE: "var(--orange)",
    GREEN: "var(--green)",
}
SPLIT_COLOURS = {"train": BLUE, "val": GREEN, "test": ORANGE}
LOG_COLOURS = {"test": BLUE, "log": ORANGE}  # the test set, and the prediction log

RC: dict[Any, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": MUTED,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.labelcolor": MUTED,
    "axes.labelsize": FONT,
    "axes.spines.left": False,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.dpi": 72,
    "figure.facecolor": "none",
    "font.family": "DejaVu Sans",  # ships with matplotlib: the layout is the same everywhere
    "font.size": FONT,
    "grid.color": LINE,
    "grid.linewidth": 0.8,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "report",
    "text.color": INK,
    "text.parse_math": False,  # a column name may be "$"
    "xtick.color": MUTED,
    "xtick.labelcolor": INK,
    "xtick.labelsize": FONT,
    "ytick.color": MUTED,
    "ytick.labelcolor": INK,
    "ytick.labelsize": FONT,
    "ytick.left": False,
}


@contextmanager
def applied() -> Iterator[None]:
    """Context manager: draw and save figures inside."""
    with mpl.rc_context(), warnings.catch_warnings():
        mpl.rcdefaults()  # ignore the user's matplotlibrc
        mpl.rcParams.update(RC)
        # The browser has the glyphs that matplotlib's font lacks.
        warnings.filterwarnings("ignore", message=r"(?s)Glyph \d+ .* missing from (current )?font")
        yield
