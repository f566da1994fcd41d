"""An image in a request: rows of [red, green, blue], or a PNG or JPEG file in base64. No torch.

The size is fixed and small, and any other is rejected before the pixels are decoded, which also stops decompression
bombs.
"""

import base64
import binascii
import io
import struct
import warnings
import zlib
from contextlib import suppress
from itertools import chain
from typing import Annotated, Any

import numpy as np
from pydantic import BeforeValidator, InstanceOf, PlainSerializer, WithJsonSchema
from pydantic_core import PydanticCustomError

MAX_TEXT = 2**20  # base64 characters; plenty for a small image with its metadata
FOR_URLS = str.maketrans("-_", "+/")
FORMATS = ("PNG", "JPEG")
MODES = {"RGB": "in colour without transparency", "L": "in shades of grey"}
TEXT = {"type": "string", "contentEncoding": "base64", "maxLength": MAX_TEXT, "title": "PNG or JPEG file"}


def field(size: int) -> Any:
    """A pydantic field type: validates to uint8 [size, size, 3], serializes to base64 of a PNG file."""
    pixel = {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": 255}, "minItems": 3, "maxItems": 3}
    row = {"type": "array", "items": pixel, "minItems": size, "maxItems": size}
    nested = {"type": "array", "items": row, "minItems": size, "maxItems": size, "title": "rows of [red, green, blue]"}
    return Annotated[
        InstanceOf[np.ndarray],
        BeforeValidator(lambda value: _checked(value, size)),
        PlainSerializer(encode, return_type=str),
        WithJsonSchema({"anyOf": [TEXT, nested]}),
    ]


def _checked(value: Any, size: int) -> np.ndarray:
    """Unlike a ValueError, this adds no "Value error" prefix to the message."""
    try:
        return decode(value, size)
    except ValueError as error:
        raise PydanticCustomError("image", "{words}", {"words": str(error)}) from None


def encode(pixels: np.ndarray) -> str:
    """uint8 [height, width, 3] -> base64 of a PNG file"""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="png")
    return base64.b64encode(buffer.getvalue()).decode()


def decode(value: object, size: int) -> np.ndarray:
    """An image of a request -> uint8 [size, size, 3]

    Raises:
        ValueError: the image is invalid; the message states why.
    """
    if isinstance(value, str):
        return read(value, size)
    if isinstance(value, list):
        return _from_rows(value, size)
    raise ValueError(f"should be {size} rows of {size} [red, green, blue], or base64 of a PNG or JPEG file")


def read(text: str, size: int, mode: str = "RGB") -> np.ndarray:
    """A PNG or JPEG file in base64 -> uint8 [size, size, 3], or [size, size] in mode L

    Raises:
        ValueError: the image is invalid; the message states why.
    """
    return _from_file(_from_base64(text), size, mode)


def _from_rows(rows: list[Any], size: int) -> np.ndarray:
    """Checks every value first: NumPy would parse or promote wrong types silently."""
    if len(rows) != size:
        raise ValueError(f"should have {size} rows, found {len(rows)}")
    for y, row in enumerate(rows):
        if type(row) is not list or len(row) != size:
            found = len(row) if type(row) is list else type(row).__name__
            raise ValueError(f"row {y} should be a list of {size} pixels, found {found}")
    pixels = list(chain.from_iterable(rows))
    for i, pixel in enumerate(pixels):
        if type(pixel) is not list or len(pixel) != 3:
            raise ValueError(f"row {i // size}, pixel {i % size} should be [red, green, blue]")
    values = list(chain.from_iterable(pixels))
    if set(map(type, values)) != {int} or min(values) < 0 or max(values) > 255:
        i = next(i for i, value in enumerate(values) if type(value) is not int or not 0 <= value <= 255)
        place = f"row {i // (3 * size)}, pixel {i // 3 % size}"
        raise ValueError(f"{place} should hold whole values from 0 to 255")
    return np.frombuffer(bytes(values), np.uint8).reshape(size, size, 3)


def _from_base64(text: str) -> bytes:
    if not text:
        raise ValueError("is empty; should be base64 of a PNG or JPEG file")
    if len(text) > MAX_TEXT:
        raise ValueError(f"should have at most {MAX_TEXT:,} characters, found {len(text):,}")
    if text[:5].lower() == "data:":  # a browser's canvas.toDataURL()
        text = text.partition(",")[2]
    # With the line ends of `base64` and of MIME; of RFC 4648 also the alphabet for URLs, and without its padding.
    packed = "".join(text.split()).translate(FOR_URLS)
    try:
        return base64.b64decode(packed + "=" * (-len(packed) % 4), validate=True)
    except (binascii.Error, ValueError):  # ValueError: characters beyond ASCII
        raise ValueError("is not base64") from None


def _from_file(content: bytes, size: int, mode: str) -> np.ndarray:
    from PIL import Image, ImageOps

    broken = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, OverflowError, MemoryError)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            image = Image.open(io.BytesIO(content), formats=FORMATS)
        except Image.DecompressionBombError:
            raise ValueError(f"should be {size} x {size} pixels, found millions") from None
        except broken:
            raise ValueError("is not a PNG or JPEG file, or its header is damaged") from None
        if image.size != (size, size):
            raise ValueError(f"should be {size} x {size} pixels, found {image.size[0]} x {image.size[1]}")
        if image.mode != mode:
            raise ValueError(f"should be {MODES[mode]} (mode {mode}), found mode {image.mode}")
        if image.format == "PNG" and (frames := getattr(image, "n_frames", 1)) > 1:
            raise ValueError(f"should be a single picture, found an animation of {frames} frames")
        try:
            image.load()
        except broken:
            raise ValueError(f"is a damaged {image.format} file: its pixels can't be decoded") from None
        with suppress(*broken):  # upright, as the camera's EXIF says; where that is damaged, as it lies
            ImageOps.exif_transpose(image, in_place=True)
        return np.array(image, np.uint8)
