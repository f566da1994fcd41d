"""The report page: sections of sentences, tables and figures -> one HTML file that needs nothing beside itself.

Figures are inline SVG whose text stays text: the reader's browser draws it, so Chinese names need no font on the
machine that builds the page, and the same data gives the same bytes on every machine. Colours become CSS variables,
which is how one figure serves the light and the dark scheme.
"""

import base64
import hashlib
import html
import io
import math
import re
import unicodedata
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

WIDTH = 360  # of a figure, in CSS pixels: the width of a phone
FONT = 11

# Okabe and Ito's colours, told apart by colour-blind readers; STYLE says what each is in either scheme.
INK, MUTED, LINE, BLUE, ORANGE, GREEN = "#1b1e23", "#636b76", "#d9dde3", "#0072b2", "#d55e00", "#009e73"
VARIABLES = {INK: "ink", MUTED: "muted", LINE: "line", BLUE: "blue", ORANGE: "orange", GREEN: "green"}
SPLIT_COLOURS = {"train": BLUE, "val": GREEN, "test": ORANGE}

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


class Html(str):
    """Markup; every other string is text and gets escaped."""

    __slots__ = ()


@dataclass(frozen=True)
class Section:
    """`lead` says in a sentence or two, with numbers, what the parts show."""

    title: str
    lead: str
    parts: Sequence[Html]


# Words


def number(value: float) -> str:
    """1,234 or 0.1235: four digits, or all before the decimal point."""
    if not math.isfinite(value):
        return "–"
    text = f"{value:,.0f}" if abs(value) >= 1000 or value == int(value) else f"{value:.4g}"
    return text.replace("-", "−")


def short_number(value: float) -> str:
    """For axes: 500k, 1.5M."""
    for size, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size * (10 if unit == "k" else 1):
            return f"{value / size:.4g}{unit}".replace("-", "−")
    return f"{value:.4g}".replace("-", "−")


def percent(share: float) -> str:
    """73%, 4.2%, and 0% or 100% only where exact."""
    if not math.isfinite(share):
        return "–"
    if 0.1 <= share <= 0.99 or share in (0, 1):
        return f"{100 * share:.0f}%"
    return f"{100 * share:.1f}%" if 0.001 <= share <= 0.999 else ("under 0.1%" if share < 0.5 else "over 99.9%")


def count(amount: int, thing: str) -> str:
    """1 row, 2 rows"""
    return f"{amount:,} {thing}" + "s" * (amount != 1)


def listed(words: Sequence[str]) -> str:
    """a, b and c"""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def text_width(text: str) -> float:
    """In CSS pixels, roughly: the reader chooses the font. A Chinese character is as wide as high."""

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


# Parts of a section


def escape(value: Any) -> str:
    return value if isinstance(value, Html) else html.escape(str(value))


def paragraph(text: str) -> Html:
    return Html(f"<p>{escape(text)}</p>")


def heading(text: str) -> Html:
    return Html(f"<h3>{escape(text)}</h3>")


def facts(pairs: Iterable[tuple[str, Any]]) -> Html:
    """A list of terms and values."""
    cells = (
        f"<div{' class=long' * (len(str(value)) > 40)}><dt>{escape(term)}</dt><dd>{escape(value)}</dd></div>"
        for term, value in pairs
    )
    return Html(f'<dl class="facts">{"".join(cells)}</dl>')


def table(rows: Sequence[dict[str, Any]], caption: str) -> Html:
    """Rows with the same keys; the first column names the row, numbers stand to the right."""

    def cell(position: int, value: Any) -> str:
        if isinstance(value, (int, float, np.number)):
            return f'<td class="number">{number(float(value))}</td>'
        if position == 0:
            return f'<th scope="row">{escape(value)}</th>'
        long = not isinstance(value, Html) and len(value) > 30
        return f"<td{' class=words' * long}>{escape(value)}</td>"

    numeric = [isinstance(value, (int, float, np.number)) for value in rows[0].values()]
    head = "".join(
        f'<th scope="col"{" class=number" * right}>{escape(name)}</th>'
        for name, right in zip(rows[0], numeric, strict=True)
    )
    body = "".join(f"<tr>{''.join(cell(*item) for item in enumerate(row.values()))}</tr>" for row in rows)
    label = html.escape(caption, quote=True)
    return Html(
        f'<div class="scroll" role="region" tabindex="0" aria-label="{label}"><table><caption>{escape(caption)}'
        f"</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def chart(height: int = 230, width: int = WIDTH) -> Figure:
    """An empty figure, sized in CSS pixels."""
    return Figure(figsize=(width / 72, height / 72))


def panel(figure: Figure, left: float, bottom: float, width: float, height: float, **options: Any) -> Axes:
    """Axes placed in CSS pixels. Layout engines measure with fonts, and draw everything twice."""
    across, down = figure.get_size_inches() * 72
    return figure.add_axes((left / across, bottom / down, width / across, height / down), **options)


def figure(drawing: Figure, title: str, caption: str, alt: str, wide: bool = False) -> Html:
    """The drawing as SVG, with its title and caption as text of the page."""
    buffer = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    drawing.savefig(buffer, format="svg", dpi=144, metadata=nothing)
    svg = buffer.getvalue()
    # Beyond its own size a figure shall not grow much; a wide one shall not shrink either, and scrolls on a phone.
    width = round(drawing.get_figwidth() * 72)
    size = f"max-width:{width * 5 // 4}px" + f";min-width:{width}px" * wide
    return _captioned(_inline(svg[svg.index("<svg") :], alt, size), title, caption, wide)


def picture(pixels: np.ndarray, alt: str) -> Html:
    """uint8 [height, width], or with 3 or 4 (opacity) channels, as an image that scales without blur."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="png", optimize=True)
    data = base64.b64encode(buffer.getvalue()).decode()
    height, width = pixels.shape[:2]
    label = html.escape(alt, quote=True)
    return Html(
        f'<img class="pixels" width="{width}" height="{height}" alt="{label}" src="data:image/png;base64,{data}">'
    )


def captioned_picture(pixels: np.ndarray, title: str, caption: str, alt: str) -> Html:
    return _captioned(picture(pixels, alt), title, caption, False)


def grid(figures: Iterable[Html], small: bool = False) -> Html:
    """Figures side by side where there is room, below each other on a phone."""
    return Html(f'<div class="grid{" small" * small}">{"".join(figures)}</div>')


def _captioned(content: str, title: str, caption: str, wide: bool) -> Html:
    words = f"<figcaption><strong>{escape(title)}</strong> {escape(caption)}</figcaption>"
    return Html(f"<figure{' class=wide' * wide}>{words}{content}</figure>")


def _inline(svg: str, alt: str, size: str) -> str:
    """matplotlib's SVG as part of an HTML page: ids unique, colours as variables, a text alternative."""
    prefix = "f" + hashlib.sha256((alt + svg).encode()).hexdigest()[:8]

    def fix(tag: re.Match[str]) -> str:
        name, content = tag[1], tag[0]
        if name == "g":
            content = re.sub(r' id="[^"]*"', "", content)
        content = re.sub(r'( id="|url\(#|href="#)', rf"\1{prefix}", content)
        return re.sub(r"#[0-9a-f]{6}", lambda colour: _variable(colour[0]), content)

    body = re.sub(r"<(\w+)[^>]*>", fix, svg[svg.index(">") + 1 :])
    box = re.search(r'viewBox="([^"]+)"', svg)
    assert box is not None
    label = html.escape(alt, quote=True)
    return f'<svg role="img" aria-label="{label}" viewBox="{box[1]}" style="{size}">{body.strip()}'


def _variable(colour: str) -> str:
    return f"var(--{VARIABLES[colour]})" if colour in VARIABLES else colour


# The page


@contextmanager
def style() -> Iterator[None]:
    """How figures look; they must be drawn and saved inside."""
    with mpl.rc_context(), warnings.catch_warnings():
        mpl.rcdefaults()  # whatever the user's matplotlibrc says
        mpl.rcParams.update(RC)
        # The reader's browser has the glyph, whatever matplotlib's own font lacks.
        warnings.filterwarnings("ignore", message=r"(?s)Glyph \d+ .* missing from (current )?font")
        yield


def write(path: Path, project: str, card: dict[str, Any], sections: Callable[[], Sequence[Section]]) -> int:
    """Draws the sections and writes the page; returns its size in bytes."""
    with style():
        content = page(project, card, sections()).encode()
    path.write_bytes(content)
    return len(content)


def page(project: str, card: dict[str, Any], sections: Sequence[Section]) -> str:
    rows = sum(card["rows"].values())
    links = "".join(f'<li><a href="#s{n}">{escape(part.title)}</a></li>' for n, part in enumerate(sections, 1))
    body = "".join(
        f'<section id="s{n}" aria-labelledby="h{n}"><h2 id="h{n}">{escape(part.title)}</h2>'
        f'<p class="lead">{escape(part.lead)}</p>{"".join(part.parts)}</section>\n'
        for n, part in enumerate(sections, 1)
    )
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{escape(project)}: the data</title>
<style>{STYLE}</style>
</head>
<body>
<header>
<h1>{escape(project)}: the data</h1>
<p>{escape(card["source"])}, {rows:,} rows; sha256 <code>{escape(card["sha256"][:12])}</code></p>
</header>
<nav aria-label="Contents"><ol>{links}</ol></nav>
<main>
{body}</main>
</body>
</html>
"""


STYLE = """
:root {
  color-scheme: light dark;
  --paper: #fff; --raised: #f6f7f9; --ink: #1b1e23; --muted: #5c6470; --line: #d9dde3;
  --blue: #0072b2; --orange: #d55e00; --green: #009e73;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #15181c; --raised: #1e2227; --ink: #e6e8eb; --muted: #a0a8b3; --line: #363c44;
    --blue: #56b4e9; --orange: #f0923b; --green: #2fc79a;
  }
}
* { box-sizing: border-box; scrollbar-width: thin }
html { scroll-padding-top: 3.5rem; -webkit-text-size-adjust: 100% }
@media (prefers-reduced-motion: no-preference) { html { scroll-behavior: smooth } }
body {
  margin: 0; background: var(--paper); color: var(--ink); line-height: 1.55; overflow-wrap: anywhere;
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "PingFang SC", "Microsoft YaHei",
    "Noto Sans CJK SC", "Source Han Sans SC", "WenQuanYi Micro Hei", SimHei, sans-serif;
}
header, main { max-width: 72rem; margin: 0 auto; padding: 0 1rem }
header { padding-top: 1.5rem }
header p { color: var(--muted); margin: .25rem 0 1rem }
h1 { font-size: 1.75rem; line-height: 1.2; margin: 0 }
h2 { font-size: 1.3rem; line-height: 1.3; margin: 0 0 .5rem }
h3 { font-size: 1rem; margin: 1.5rem 0 .5rem }
p { max-width: 44rem; margin: .5rem 0 }
code { font: .9em ui-monospace, Menlo, Consolas, monospace }
nav {
  position: sticky; top: 0; z-index: 1; background: var(--paper); border-bottom: 1px solid var(--line);
}
nav ol {
  display: flex; gap: 1.25rem; max-width: 72rem; margin: 0 auto; padding: .6rem 1rem; list-style: none;
  overflow-x: auto; white-space: nowrap; font-size: .9rem;
}
a { color: var(--blue); text-underline-offset: .2em }
nav a { text-decoration: none }
nav a:hover, nav a:focus-visible { text-decoration: underline }
:focus-visible { outline: 2px solid var(--blue); outline-offset: 2px }
section { padding: 1.75rem 0; border-bottom: 1px solid var(--line) }
section:last-child { border: 0 }
.facts {
  display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 9rem), 1fr)); gap: 1rem; margin: 1rem 0;
}
.facts div { min-width: 0 }
.facts dt { color: var(--muted); font-size: .85rem }
.facts dd { margin: 0; font-weight: 600; font-variant-numeric: tabular-nums }
.facts .long { grid-column: 1 / -1 }
.scroll { overflow-x: auto; margin: 1rem 0; max-width: 100% }
table { border-collapse: collapse; font-size: .9rem; overflow-wrap: normal }
caption { text-align: left; color: var(--muted); padding-bottom: .4rem }
th, td { text-align: left; vertical-align: top; padding: .35rem 1.25rem .35rem 0; border-top: 1px solid var(--line) }
thead th { color: var(--muted); font-weight: 500; white-space: nowrap; border-top: 0 }
tbody th { font-weight: 600; max-width: 16rem; overflow-wrap: break-word }
td { max-width: 34rem; overflow-wrap: break-word }
.words { min-width: 12rem }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }
.grid {
  display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 20rem), 1fr)); gap: 2rem 1.5rem;
  margin: 1rem 0;
}
.grid > .scroll { margin: 0 }
.grid.small { grid-template-columns: repeat(auto-fill, minmax(5.5rem, 1fr)); gap: 1rem }
figure { margin: 0; min-width: 0; display: flex; flex-direction: column; gap: .4rem }
figure.wide { margin: 1rem 0; overflow-x: auto }
figure.wide figcaption { max-width: 44rem; position: sticky; left: 0 }
figcaption { font-size: .9rem; color: var(--muted) }
figcaption strong { color: var(--ink); display: block }
svg { display: block; width: 100%; height: auto }
svg text { font-family: inherit !important }
img.pixels { display: block; width: 100%; height: auto; image-rendering: pixelated; border-radius: 3px }
.montage {
  display: grid; grid-template-columns: fit-content(8rem) 1fr; gap: .35rem .75rem; align-items: center;
  max-width: 46rem;
}
.montage span { font-weight: 600; text-align: right; overflow-wrap: break-word; min-width: 0 }
.verdict { white-space: nowrap; font-weight: 600 }
.verdict.differs { color: var(--orange) }
.verdict.alike { color: var(--green) }
@media print { nav { display: none } figure, tr { break-inside: avoid } }
"""
