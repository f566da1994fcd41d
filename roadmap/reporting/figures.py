"""Figures as inline SVG, laid out in CSS pixels.

Text stays text, drawn by the browser: Chinese names need no font on the building machine, and the same data gives the
same bytes everywhere. Colours become CSS variables, so one figure serves the light and the dark scheme.
"""

import hashlib
import io
import re
import unicodedata

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from roadmap.reporting.html import Html, captioned, escape
from roadmap.reporting.style import FONT, VARIABLES, WIDTH


def chart(height: float, width: float = WIDTH) -> Figure:
    """An empty figure."""
    return Figure(figsize=(int(width) / 72, int(height) / 72))


def panel(
    drawing: Figure,
    left: float,
    bottom: float,
    width: float,
    height: float,
    sharex: Axes | None = None,
    sharey: Axes | None = None,
) -> Axes:
    """Axes at a fixed position, in CSS pixels. Layout engines depend on fonts and draw everything twice.

    sharex, sharey: axes to share a scale with
    """
    across, down = drawing.get_size_inches() * 72
    return drawing.add_axes((left / across, bottom / down, width / across, height / down), sharex=sharex, sharey=sharey)


def legend(axes: Axes) -> None:
    """Legend above the axes, in one line."""
    entries = len(axes.get_legend_handles_labels()[0])
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=entries, borderpad=0, handlelength=1)


def text_width(text: str) -> float:
    """Estimated width of a text: the browser chooses the font. Chinese characters are as wide as high."""

    def width(char: str) -> float:
        if unicodedata.east_asian_width(char) in "WF":
            return 1.0
        return 0.75 if char.isupper() or char in "mw_%@" else 0.6

    return FONT * sum(map(width, text))


def shorten(text: str, pixels: float = 110) -> str:
    """On one line, truncated to fit."""
    text = " ".join(str(text).split())
    if text_width(text) <= pixels:
        return text
    while text and text_width(text) + FONT > pixels:
        text = text[:-1]
    return text.rstrip() + "…"


def figure(drawing: Figure, title: str, caption: str, alt: str, wide: bool = False) -> Html:
    """The drawing as SVG, with its title and caption as HTML text."""
    buffer = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    drawing.savefig(buffer, format="svg", dpi=144, metadata=nothing)
    svg = buffer.getvalue()
    # Figures don't grow much beyond their size; wide ones don't shrink either, but scroll on a phone.
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
