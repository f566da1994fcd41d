"""An episode as an animated SVG, without a script: a cart with its pole, a car in a valley, links, a walk on a grid."""

from collections.abc import Sequence
from html import escape

import numpy as np

from pipelines.control.data.environments.worlds import CLIFF, LAKE

SCALE, LENGTH = 60, 70  # pixels of a unit of CartPole's track; of a pole or a link
CELL = 44
GRIDS = {"FrozenLake-v1": LAKE, "CliffWalking-v1": CLIFF}
RED, GREEN = "#c8553d", "#0c6e5a"


def picture(environment: str, seen: np.ndarray, alt: str) -> str | None:
    """An `<svg>` that plays over and over; None for an environment whose looks are not known here.

    seen: observations of one episode, [t, size], or numbers of states, int [t]; alt: what it shows, in words
    """
    rows = len(GRIDS[environment]) if environment in GRIDS else 0
    if rows and seen.ndim == 1 and seen.max() < rows * len(GRIDS[environment][0]):  # not of a larger map
        return walk(seen, GRIDS[environment], 0.4 * len(seen), alt)
    if environment == "CartPole-v1":
        return cart(seen, 0.02 * len(seen), alt)
    if environment == "MountainCar-v0":
        return valley(seen, 0.033 * len(seen), alt)
    return links(seen, 0.066 * len(seen), alt) if environment == "Acrobot-v1" else None


def _svg(alt: str, box: str, width: int, *inside: str) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{escape(alt)}" viewBox="{box}" '
    return f'{head}style="max-width:{width}px">{"".join(inside)}</svg>'


def _moved(kind: str, values: str, timing: str) -> str:
    return f'<animateTransform attributeName="transform" type="{kind}" values="{values}" {timing}/>'


def _timing(seconds: float) -> str:
    return f'dur="{seconds:.1f}s" repeatCount="indefinite"'


def _values(numbers: Sequence[str]) -> str:
    return ";".join(numbers)


def cart(observations: np.ndarray, seconds: float, alt: str) -> str:
    """observations: of one episode of CartPole, [t, 4]"""
    places = _values([f"{SCALE * row[0]:.1f} 0" for row in observations])
    angles = _values([f"{np.degrees(row[2]):.1f}" for row in observations])
    timing = _timing(seconds)
    return _svg(
        alt, "-160 -100 320 130", 480,
        '<line x1="-144" x2="144" y1="16" y2="16" stroke="currentColor"/>',
        f'<g>{_moved("translate", places, timing)}',
        '<rect x="-22" y="-8" width="44" height="24" rx="3" fill="currentColor" opacity=".55"/>',
        f'<line y2="-{LENGTH}" stroke="{RED}" stroke-width="6" stroke-linecap="round">',
        f'{_moved("rotate", angles, timing)}</line></g>',
    )  # fmt: skip


def valley(observations: np.ndarray, seconds: float, alt: str) -> str:
    """observations: of one episode of MountainCar, [t, 2]; the flag is at 0.5"""

    def point(x: float) -> str:
        return f"{180 * x:.1f} {-60 * np.sin(3 * x):.1f}"

    ground = " ".join(point(x) for x in np.linspace(-1.2, 0.6, 61))
    places = _values([point(row[0]) for row in observations])
    return _svg(
        alt, "-225 -110 345 180", 480,
        f'<polyline points="{ground}" fill="none" stroke="currentColor"/>',
        f'<path d="M{point(0.5)}v-30l16 6-16 6" fill="{GREEN}" stroke="currentColor"/>',
        f'<circle cy="-9" r="9" fill="{RED}">{_moved("translate", places, _timing(seconds))}</circle>',
    )  # fmt: skip


def links(observations: np.ndarray, seconds: float, alt: str) -> str:
    """observations: of one episode of Acrobot, [t, 6]; the tip must swing above the line"""
    first, second = (np.degrees(np.arctan2(observations[:, i + 1], observations[:, i])) for i in (0, 2))
    timing = _timing(seconds) + ' calcMode="discrete"'  # an angle that wraps around must not turn back
    upper, lower = (
        _moved("rotate", _values([f"{-angle:.1f}" for angle in angles]), timing) for angles in (first, second)
    )
    return _svg(
        alt, "-160 -150 320 300", 360,
        f'<line x1="-150" x2="150" y1="-{LENGTH}" y2="-{LENGTH}" stroke="currentColor" stroke-dasharray="4 4"/>',
        f'<g>{upper}<line y2="{LENGTH}" stroke="{GREEN}" stroke-width="7" stroke-linecap="round"/>',
        f'<g transform="translate(0 {LENGTH})"><line y2="{LENGTH}" stroke="{RED}" stroke-width="7" ',
        f'stroke-linecap="round">{lower}</line></g></g>',
    )  # fmt: skip


def walk(states: np.ndarray, cells: Sequence[str], seconds: float, alt: str) -> str:
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
    timing = _timing(seconds) + ' calcMode="discrete"'
    return _svg(
        alt, f"-1 -1 {CELL * width + 2} {CELL * height + 2}", min(480, CELL * width * 2), squares,
        f'<circle r="12" fill="{RED}"><animate attributeName="cx" values="{x}" {timing}/>',
        f'<animate attributeName="cy" values="{y}" {timing}/></circle>',
    )  # fmt: skip
