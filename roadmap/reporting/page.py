"""The report page: sections of text, tables and figures -> one self-contained HTML file."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from roadmap.io.json import JsonObject
from roadmap.reporting import style
from roadmap.reporting.html import Html, code, escape

CSS = Path(__file__).with_suffix(".css")


@dataclass(frozen=True)
class Section:
    """`lead` sums up the parts in a sentence or two, with numbers."""

    title: str
    lead: str
    parts: Sequence[Html]


def provenance(card: JsonObject) -> list[tuple[str, str]]:
    """The provenance of the data, by term. card: card.json"""
    sha256 = code(card["sha256"])
    return [("Source", card["source"]), ("Licence", card["licence"]), ("sha256 of the splits", sha256)]


def write(path: Path, project: str, card: JsonObject, sections: Callable[[], Sequence[Section]]) -> int:
    """Renders the page and writes it; returns its size in bytes."""
    rows = sum(card["rows"].values())
    about = f"{escape(card['source'])}, {rows:,} rows; sha256 {code(card['sha256'][:12])}"
    with style.applied():
        content = render(f"{project}: the data", about, sections()).encode()
    path.write_bytes(content)
    return len(content)


def render(title: str, about: str, sections: Sequence[Section], language: str = "en") -> str:
    """`about`: markup of the line below the title."""
    links = "".join(f'<li><a href="#s{n}">{escape(part.title)}</a></li>' for n, part in enumerate(sections, 1))
    body = "".join(
        f'<section id="s{n}" aria-labelledby="h{n}"><h2 id="h{n}">{escape(part.title)}</h2>'
        f'<p class="lead">{escape(part.lead)}</p>{"".join(part.parts)}</section>\n'
        for n, part in enumerate(sections, 1)
    )
    return f"""<!doctype html>
<html lang="{language}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{escape(title)}</title>
<style>
{CSS.read_text(encoding="utf-8")}</style>
</head>
<body>
<header>
<h1>{escape(title)}</h1>
<p>{about}</p>
</header>
<nav aria-label="Contents"><ol>{links}</ol></nav>
<main>
{body}</main>
</body>
</html>
"""
