"""Figures as inline SVG, laid out in CSS pixels.

Text stays text: the reader's browser draws it, so Chinese names need no font on the machine that builds the page, and
the same data gives the same bytes on every machine. Colours become CSS variables, which is how one figure serves the
light and the dark scheme.
"""

import hashlib
import io
import re
import unicodedata
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from roadmap.reporting.html import Html, captioned, escape
from roadmap.reporting.style import FONT, VARIABLES, WIDTH


def chart(height: float, width: float = WIDTH) -> Figure:
    """An empty figure."""
    return Figure(figsize=(int(width) / 72, int(height) / 72))


def panel(drawing: Figure, left: float, bottom: float, width: float, height: float, **options: Any) -> Axes:
    """Axes at a place of their own. Layout engines measure with fonts, and draw everything twice."""
    across, down = drawing.get_size_inches() * 72
    return drawing.add_axes((left / across, bottom / down, width / across, height / down), **options)


def legend(axes: Axes) -> None:
    """Above the axes, in one line."""
    entries = len(axes.get_legend_handles_labels()[0])
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=entries, borderpad=0, handlelength=1)


def text_width(text: str) -> float:
    """Roughly: the reader chooses the font. A Chinese character is as wide as high."""

    def width(char: str) -> float:
        if unicodedata.east_asian_width(char) in "WF":
            return 1.0
        return 0.75 if char.isupper() or char in "mw_%@" else 0.6

    return FONT * sum(map(width, text))


def shorten(text: str, pixels: float = 110) -> str:
    """On one line, cut to fit."""
    text = " ".join(str(text).split())
    if text_width(text) <= pixels:
        return text
    while text and text_width(text) + FONT > pixels:
        text = text[:-1]
    return text.rstrip() + "…"


def figure(drawing: Figure, title: str, caption: str, alt: str, wide: bool = False) -> Html:
    """The drawing as SVG, with its title and caption as text of the page."""
    buffer = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    drawing.savefig(buffer, format="svg", dpi=144, metadata=nothing)
    svg = buffer.getvalue()
    # Beyond its own size a figure shall not grow much; a wide one shall not shrink either, and scrolls on a phone.
    width = round(drawing.get_figwidth() * 72)
    size = f"max-width:{width * 5 // 4}px" + f";min-width:{width}px" * wide
    return captioned(_inline(svg[svg.index("<svg") :], alt, size), title, caption, wide)


def _inline(svg: str, alt: str, size: str) -> str:
    """matplotlib's SVG as part of an HTML page: ids unique, colours as variables, a text alternative."""
    prefix = "f" + hashlib.sha256((alt + svg).encode()).hexdigest()[:8]

    def fix(tag: re.Match[str]) -> str:
        content = tag[0]
        if tag[1] == "g":
            content = re.sub(r' id="[^"]*"', "", content)
        content = re.sub(r'( id="|url\(#|href="#)', rf"\1{prefix}", content)
        return re.sub(r"#[0-9a-f]{6}", lambda colour: VARIABLES.get(colour[0], colour[0]), content)

    body = re.sub(r"<(\w+)[^>]*>", fix, svg[svg.index(">") + 1 :])
    box = re.search(r'viewBox="([^"]+)"', svg)
    assert box is not None
    return f'<svg role="img" aria-label="{escape(alt)}" viewBox="{box[1]}" style="{size}">{body.strip()}'
