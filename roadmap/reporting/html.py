"""HTML building blocks. Everything that is not `Html` is escaped."""

import html
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from roadmap.reporting.formatting import number


class Html(str):
    """Markup; every other string is text."""

    __slots__ = ()


def escape(value: object) -> str:
    return value if isinstance(value, Html) else html.escape(str(value))


def paragraph(text: str) -> Html:
    return Html(f"<p>{escape(text)}</p>")


def code(text: str) -> Html:
    return Html(f"<code>{escape(text)}</code>")


def facts(pairs: Iterable[tuple[str, object]]) -> Html:
    """A definition list of terms and values."""
    cells = (
        f"<div{' class=long' * (len(str(value)) > 40)}><dt>{escape(term)}</dt><dd>{escape(value)}</dd></div>"
        for term, value in pairs
    )
    return Html(f'<dl class="facts">{"".join(cells)}</dl>')


def table(rows: Sequence[Mapping[str, object]], caption: str) -> Html:
    """Rows with equal keys; the first column is the row header, numbers are right-aligned."""
    head = "".join(
        f'<th scope="col"{" class=number" * _is_number(value)}>{escape(name)}</th>' for name, value in rows[0].items()
    )
    body = "".join(f"<tr>{''.join(_cell(*item) for item in enumerate(row.values()))}</tr>" for row in rows)
    return Html(
        f'<div class="scroll" role="region" tabindex="0" aria-label="{escape(caption)}"><table>'
        f"<caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _cell(position: int, value: Any) -> str:
    if _is_number(value):
        return f'<td class="number">{number(float(value))}</td>'
    if position == 0:
        return f'<th scope="row">{escape(value)}</th>'
    long = not isinstance(value, Html) and len(value) > 30
    return f"<td{' class=words' * long}>{escape(value)}</td>"


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float, np.number))


def captioned(content: str, title: str, caption: str, wide: bool = False) -> Html:
    """A figure: its content and its caption."""
    words = f"<figcaption><strong>{escape(title)}</strong> {escape(caption)}</figcaption>"
    return Html(f"<figure{' class=wide' * wide}>{words}{content}</figure>")


def grid(figures: Iterable[Html], small: bool = False) -> Html:
    """Figures side by side, stacked on a phone."""
    return Html(f'<div class="grid{" small" * small}">{"".join(figures)}</div>')
