"""Drawn scenes: coloured, textured shapes on coloured ground, each with its box, its mask and a caption that is true.

For classification draw one thing per scene; for detection several; for captioning and text-to-image use the caption.
A thing is known by its shape alone: colour, texture, place and size are drawn independently of it. Noise, weak
contrast, tilt and a bar across the picture make some scenes hard.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Mask = Callable[[np.ndarray, np.ndarray], np.ndarray]
FINE = 2  # each pixel is the mean of FINE x FINE points, which smooths the edges


def _polygon(corners: int, inner: float) -> Mask:
    """A regular polygon (inner = 1), or a star whose inner corners lie at `inner` of its radius."""
    points = 2 * corners if inner < 1 else corners
    angles = np.arange(points) * 2 * np.pi / points - np.pi / 2
    radii = np.where(np.arange(points) % 2, inner if inner < 1 else 1.0, 1.0)
    x, y = radii * np.cos(angles), radii * np.sin(angles)

    def inside(u: np.ndarray, v: np.ndarray) -> np.ndarray:
        """u, v: [h, w] -> bool [h, w]"""
        crossings = np.zeros(u.shape, bool)  # even-odd rule
        for x0, y0, x1, y1 in zip(x, y, np.roll(x, -1), np.roll(y, -1), strict=True):
            if y0 != y1:
                crossings ^= ((y0 > v) != (y1 > v)) & (u < (x1 - x0) * (v - y0) / (y1 - y0) + x0)
        return crossings

    return inside


# Each within the unit circle; u points right, v down.
SHAPES: dict[str, Mask] = {
    "circle": lambda u, v: u**2 + v**2 < 0.8,
    "square": lambda u, v: np.maximum(abs(u), abs(v)) < 0.7,
    "triangle": _polygon(3, 1),
    "hexagon": _polygon(6, 1),
    "star": _polygon(5, 0.45),
    "cross": lambda u, v: (np.minimum(abs(u), abs(v)) < 0.28) & (np.maximum(abs(u), abs(v)) < 0.9),
    "ring": lambda u, v: (u**2 + v**2 < 0.9) & (u**2 + v**2 > 0.3),
    "heart": lambda u, v: (1.2 * u) ** 2 + (0.2 - 1.15 * v - 0.6 * np.sqrt(abs(u))) ** 2 < 0.75,
    "diamond": lambda u, v: abs(u) / 0.62 + abs(v) < 1,
    "crescent": lambda u, v: (u**2 + v**2 < 0.95) & ((u - 0.45) ** 2 + v**2 > 0.55),
}
COLOURS = {
    "red": (205, 45, 45),
    "orange": (235, 140, 35),
    "yellow": (235, 220, 60),
    "green": (50, 150, 60),
    "cyan": (70, 205, 215),
    "blue": (45, 75, 200),
    "purple": (135, 55, 165),
    "pink": (240, 150, 190),
    "white": (240, 240, 240),
    "grey": (128, 128, 128),
}
TEXTURES = ("plain", "striped", "dotted", "chequered")
ROWS, COLUMNS = ("top", "middle", "bottom"), ("left", "centre", "right")


@dataclass(frozen=True)
class Thing:
    """box: left, top, right, bottom in pixels, the latter two beyond the last one drawn. place: of the box's centre."""

    shape: str
    colour: str
    texture: str
    large: bool
    place: str
    box: tuple[int, int, int, int]

    @property
    def caption(self) -> str:
        texture = "" if self.texture == "plain" else f"{self.texture} "
        return f"a {'large' if self.large else 'small'} {texture}{self.colour} {self.shape} at the {self.place}"


@dataclass(frozen=True)
class Scene:
    """pixels: uint8 [size, size, 3]; masks: bool [things, size, size], true wherever a thing was drawn."""

    pixels: np.ndarray
    things: tuple[Thing, ...]
    masks: np.ndarray
    ground: str

    @property
    def caption(self) -> str:
        return " and ".join(thing.caption for thing in self.things) + f" on {self.ground} ground"


def scene(rng: np.random.Generator, size: int = 32, shapes: tuple[str, ...] = (), clean: bool = False) -> Scene:
    """One picture of the named shapes, or of one drawn at random. Later things lie over earlier ones.

    clean: without noise, tilt and bars.
    """
    ground = str(rng.choice(list(COLOURS)))
    points = (np.arange(size * FINE) + 0.5) / FINE
    x, y = np.meshgrid(points, points)
    canvas = _shade(rng, ground) + _slope(rng, x, y, size)
    things, masks = [], []
    for shape in shapes or (str(rng.choice(list(SHAPES))),):
        thing, mask, fine, fill = _thing(rng, shape, ground, x, y, size, clean)
        canvas = np.where(fine[..., None], fill, canvas)
        things.append(thing)
        masks.append(mask)
    if not clean and rng.random() < 0.3:
        canvas = np.where(_bar(rng, x, y, size)[..., None], _shade(rng, str(rng.choice(list(COLOURS)))), canvas)
    pixels = canvas.reshape(size, FINE, size, FINE, 3).mean(axis=(1, 3))
    if not clean:
        pixels = 128 + (pixels - 128) * rng.uniform(0.4, 1)  # contrast
        pixels += rng.normal(0, rng.uniform(2, 16), pixels.shape)
    return Scene(np.clip(np.round(pixels), 0, 255).astype(np.uint8), tuple(things), np.stack(masks), ground)


def _thing(
    rng: np.random.Generator, shape: str, ground: str, x: np.ndarray, y: np.ndarray, size: int, clean: bool
) -> tuple[Thing, np.ndarray, np.ndarray, np.ndarray]:
    """A thing, its mask by pixel and by point, and the colours of all points that it would cover."""
    large = bool(rng.random() < 0.5)
    radius = size * (rng.uniform(0.32, 0.42) if large else rng.uniform(0.2, 0.27))
    cx, cy = rng.uniform(radius, size - radius, 2)
    tilt = 0.0 if clean else rng.uniform(-0.35, 0.35)
    squeeze = 1.0 if clean else rng.uniform(0.85, 1)
    u, v = (x - cx) / radius, (y - cy) / radius
    u, v = (u * np.cos(tilt) + v * np.sin(tilt)) / squeeze, v * np.cos(tilt) - u * np.sin(tilt)
    fine = SHAPES[shape](u, v)
    mask = np.logical_or.reduce(fine.reshape(size, FINE, size, FINE), axis=(1, 3))
    down, across = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    box = (int(across[0]), int(down[0]), int(across[-1]) + 1, int(down[-1]) + 1)
    colour, texture = str(rng.choice([name for name in COLOURS if name != ground])), str(rng.choice(TEXTURES))
    bright = _shade(rng, colour)
    second = _pattern(texture, u, v, radius)[..., None]
    fill = np.where(second, bright * 0.72, bright)
    row, column = (min(2, int(3 * (a + b) / 2 / size)) for a, b in ((box[1], box[3]), (box[0], box[2])))
    place = "centre" if row == column == 1 else f"{ROWS[row]} {COLUMNS[column]}"
    return Thing(shape, colour, texture, large, place, box), mask, fine, fill


def _pattern(texture: str, u: np.ndarray, v: np.ndarray, radius: float) -> np.ndarray:
    """Where the second, darker tone lies; periods of about four pixels, whatever the thing's size."""
    a, b = u * radius / 4, v * radius / 4
    if texture == "striped":
        return (a + b) % 1 < 0.5
    if texture == "dotted":
        return (a % 1 - 0.5) ** 2 + (b % 1 - 0.5) ** 2 < 0.1
    if texture == "chequered":
        return (a % 1 < 0.5) ^ (b % 1 < 0.5)
    return np.zeros(u.shape, bool)


def _shade(rng: np.random.Generator, colour: str) -> np.ndarray:
    return np.array(COLOURS[colour]) + rng.normal(0, 8, 3)


def _slope(rng: np.random.Generator, x: np.ndarray, y: np.ndarray, size: int) -> np.ndarray:
    """Light that falls from one side. -> [size, size, 1]"""
    angle, depth = rng.uniform(0, 2 * np.pi), rng.uniform(0, 25)
    return (depth * ((x / size - 0.5) * np.cos(angle) + (y / size - 0.5) * np.sin(angle)))[..., None]


def _bar(rng: np.random.Generator, x: np.ndarray, y: np.ndarray, size: int) -> np.ndarray:
    """A straight bar across the whole picture."""
    angle, at, width = rng.uniform(0, np.pi), rng.uniform(-0.25, 0.25), rng.uniform(0.06, 0.16)
    distance = (x / size - 0.5) * np.cos(angle) + (y / size - 0.5) * np.sin(angle)
    return abs(distance - at) < width / 2


def classified(rows: int, size: int, seed: int) -> dict[str, np.ndarray]:
    """Scenes of one thing each, all shapes equally often. -> image uint8 [n, size, size, 3], label int64 [n] (index
    into SHAPES), box int16 [n, 4], caption str [n]"""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(rows) % len(SHAPES))
    scenes = [scene(rng, size, (list(SHAPES)[label],)) for label in labels]
    return {
        "image": np.stack([one.pixels for one in scenes]),
        "label": labels,
        "box": np.array([one.things[0].box for one in scenes], np.int16),
        "caption": np.array([one.caption for one in scenes]),
    }
