"""How figures look: sizes, colours that do for a light and a dark page, matplotlib's settings."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl

WIDTH = 360  # of a figure, in CSS pixels: the width of a phone
FONT = 11

# Okabe and Ito's colours, told apart by colour-blind readers. In the page each is a variable: page.css says what it is
# in either scheme.
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
LOG_COLOURS = {"test": BLUE, "log": ORANGE}  # what was tested, and what is asked now

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
    "font.family": "DejaVu Sans",  # comes with matplotlib: layout is the same everywhere
    "font.size": FONT,
    "grid.color": LINE,
    "grid.linewidth": 0.8,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "report",
    "text.color": INK,
    "text.parse_math": False,  # a column may be called "$"
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
    """Figures must be drawn and saved inside."""
    with mpl.rc_context(), warnings.catch_warnings():
        mpl.rcdefaults()  # whatever the user's matplotlibrc says
        mpl.rcParams.update(RC)
        # The reader's browser has the glyph, whatever matplotlib's own font lacks.
        warnings.filterwarnings("ignore", message=r"(?s)Glyph \d+ .* missing from (current )?font")
        yield
