"""Pixel arrays as inline PNG."""

import base64
import io

import numpy as np
from PIL import Image

from roadmap.reporting.html import Html, escape

EDGE = 48  # longest edge in pixels; larger images are subsampled


def picture(pixels: np.ndarray, alt: str) -> Html:
    """uint8 [height, width], or with 3 or 4 (alpha) channels, as an image that scales without blur."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="png", optimize=True)
    data = base64.b64encode(buffer.getvalue()).decode()
    height, width = pixels.shape[:2]
    return Html(
        f'<img class="pixels" width="{width}" height="{height}" alt="{escape(alt)}" src="data:image/png;base64,{data}">'
    )


def thumbnails(found: np.ndarray) -> np.ndarray:
    """[n, height, width, ...] -> every k-th pixel, so that no edge is longer than EDGE."""
    step = -(-max(found.shape[1:3]) // EDGE)
    return found[:, ::step, ::step]


def montage(found: np.ndarray, places: int) -> np.ndarray:
    """[n, height, width, ...] -> a row of `places` images with transparent gaps, [height, places * (width + gap), 4]"""
    n, height, width = found.shape[:3]
    colours = found if found.ndim == 4 else np.repeat(found[..., None], 3, axis=3)
    row = np.zeros((height, places, width + 1 + width // 16, 4), np.uint8)
    row[:, :n, :width, :3] = colours.swapaxes(0, 1)
    row[:, :n, :width, 3] = 255
    return row.reshape(height, -1, 4)
