"""The style of every plot, and how it is saved."""

import unicodedata
import warnings
from pathlib import Path

import matplotlib
import matplotlib.text
from matplotlib.figure import Figure

matplotlib.use("Agg")
import matplotlib.pyplot as plt

BLUE, ORANGE, GREY, RED = "#2b6cb0", "#dd6b20", "#a0aec0", "#c53030"
plt.rcParams.update(
    {
        "figure.figsize": (6.4, 4.2),
        "figure.dpi": 130,
        "figure.constrained_layout.use": True,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": "#e2e8f0",
        "axes.titlelocation": "left",
        "axes.titleweight": "bold",
        "legend.frameon": False,
    }
)


def save(figure: Figure, path: Path) -> None:
    """As PNG; as SVG if there is Chinese text, which needs the fonts of the browser."""
    texts = [text.get_text() for text in figure.findobj(matplotlib.text.Text)]
    if any(unicodedata.east_asian_width(char) in "WF" for text in texts for char in text):
        with plt.rc_context({"svg.fonttype": "none", "svg.hashsalt": "plots"}), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Glyph")
            figure.savefig(path.with_suffix(".svg"), metadata={"Date": None})
    else:
        figure.savefig(path, metadata={"Software": None})
    plt.close(figure)
