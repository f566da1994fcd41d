"""An episode as an animated SVG, without a script: a cart with its pole, or a walk on a grid."""

from collections.abc import Sequence

import numpy as np

from roadmap.reporting.html import Html, escape

SCALE, LENGTH = 60, 70  # pixels of a unit of CartPole's track; of its pole
CELL = 44


def _values(numbers: Sequence[str]) -> str:
    return ";".join(numbers)


def cart(observations: np.ndarray, seconds: float, alt: str) -> Html:
    """observations: of one episode of CartPole, [t, 4]"""
    places = _values([f"{SCALE * row[0]:.1f} 0" for row in observations])
    angles = _values([f"{np.degrees(row[2]):.1f}" for row in observations])
    timing = f'dur="{seconds:.1f}s" repeatCount="indefinite"'
    return Html(
        f'<svg role="img" aria-label="{escape(alt)}" viewBox="-160 -100 320 130" style="max-width:480px">'
        '<line x1="-144" x2="144" y1="16" y2="16" stroke="currentColor"/>'
        f'<g><animateTransform attributeName="transform" type="translate" values="{places}" {timing}/>'
        '<rect x="-22" y="-8" width="44" height="24" rx="3" fill="currentColor" opacity=".55"/>'
        f'<line y2="-{LENGTH}" stroke="#c8553d" stroke-width="6" stroke-linecap="round">'
        f'<animateTransform attributeName="transform" type="rotate" values="{angles}" {timing}/></line></g></svg>'
    )


def walk(states: np.ndarray, cells: Sequence[str], seconds: float, alt: str) -> Html:
    """states: of one episode, int [t]; cells: a letter for each cell, row by row, in rows of equal length"""
    width, height = len(cells[0]), len(cells)
    squares = "".join(
        f'<rect x="{CELL * x}" y="{CELL * y}" width="{CELL}" height="{CELL}" fill="none" stroke="currentColor" '
        f'opacity=".4"/><text x="{CELL * x + 6}" y="{CELL * y + 16}" font-size="12" fill="currentColor">{letter}</text>'
        for y, row in enumerate(cells)
        for x, letter in enumerate(row)
    )
    x = _values([f"{CELL * (state % width) + CELL / 2:g}" for state in states.tolist()])
    y = _values([f"{CELL * (state // width) + CELL / 2:g}" for state in states.tolist()])
    timing = f'dur="{seconds:.1f}s" repeatCount="indefinite" calcMode="discrete"'
    return Html(
        f'<svg role="img" aria-label="{escape(alt)}" viewBox="-1 -1 {CELL * width + 2} {CELL * height + 2}" '
        f'style="max-width:{min(480, CELL * width * 2)}px">{squares}<circle r="12" fill="#c8553d">'
        f'<animate attributeName="cx" values="{x}" {timing}/><animate attributeName="cy" values="{y}" {timing}/>'
        "</circle></svg>"
    )
