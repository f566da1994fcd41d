"""The report of images: examples and means of each class, pixel statistics, comparison of train and test.

A split holds one array of images, [n, height, width] or with 1 or 3 channels before or after, and one of labels [n].
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from roadmap.data import splits
from roadmap.io.json import JsonObject
from roadmap.reporting import html
from roadmap.reporting.bars import split_bars
from roadmap.reporting.figures import figure
from roadmap.reporting.formatting import overlap, percent
from roadmap.reporting.histograms import outlines
from roadmap.reporting.page import Section, provenance
from roadmap.reporting.pictures import montage, picture, thumbnails
from roadmap.reporting.style import BLUE, GREEN, ORANGE, SPLIT_COLOURS
from roadmap.reporting.tasks import drift

EXAMPLES = 12  # per class in the montage
MAX_CLASSES = 30  # with pictures
CHUNK = 4096  # images converted to floats at once
CHANNELS = {"red": ORANGE, "green": GREEN, "blue": BLUE}


@dataclass(frozen=True)
class Images:
    pixels: np.ndarray  # uint8 [n, height, width] or [n, height, width, 3]
    labels: np.ndarray  # int [n]


def sections(folder: Path, card: JsonObject) -> list[Section]:
    """folder: of the prepared splits; card: its card.json"""
    target = card["schema"]["target"]
    classes = [str(name) for name in card["schema"]["classes"]]
    parts = {name: images(splits.read_arrays(folder, name), target) for name in splits.SPLITS}
    kinds = {target: "category", "brightness": "number", "contrast": "number"}
    return [
        _overview(parts, classes, card),
        _examples(parts["train"], classes),
        _balance(parts, classes),
        _means(parts["train"], classes),
        _intensities(parts),
        drift.section(measure(parts["train"], classes, target), measure(parts["test"], classes, target), kinds),
    ]


def images(arrays: dict[str, np.ndarray], target: str) -> Images:
    """A split's arrays, see above, as uint8 images with the channels last."""
    pixels = next(array for name, array in arrays.items() if name != target and array.ndim >= 3)
    if pixels.ndim == 4 and pixels.shape[1] in (1, 3) and pixels.shape[3] not in (1, 3):
        pixels = np.moveaxis(pixels, 1, 3)
    if pixels.ndim == 4 and pixels.shape[3] == 1:
        pixels = pixels[..., 0]
    if pixels.dtype != np.uint8:
        scale = 255 if pixels.dtype.kind == "f" and pixels.max() <= 1 else 1
        pixels = np.clip(np.round(pixels * scale), 0, 255).astype(np.uint8)
    return Images(np.ascontiguousarray(pixels), arrays[target].astype(np.int64))


def _overview(parts: dict[str, Images], classes: list[str], card: JsonObject) -> Section:
    height, width = parts["train"].pixels.shape[1:3]
    colour = "colour" if parts["train"].pixels.ndim == 4 else "grey"
    train = {image.tobytes() for image in parts["train"].pixels}
    leaked = sum(image.tobytes() in train for image in parts["test"].pixels)
    repeated = len(parts["train"].pixels) - len(train)
    lead = (
        f"{sum(card['rows'].values()):,} {colour} images of {width} × {height} pixels in {len(classes)} classes. "
        + overlap("image", leaked, repeated, "pixel for pixel")
    )
    facts = [
        *((f"Images, {name}", f"{len(part.labels):,}") for name, part in parts.items()),
        ("Classes", len(classes)),
        ("Size", f"{width} × {height}, {colour}"),
        ("Test images also in train", f"{leaked:,}"),
        ("Duplicates within train", f"{repeated:,}"),
        *provenance(card),
    ]
    return Section("Overview", lead, [html.facts(facts)])


def _examples(train: Images, classes: list[str]) -> Section:
    rows = []
    for label, name in enumerate(classes[:MAX_CLASSES]):
        found = train.pixels[train.labels == label][:EXAMPLES]
        if len(found):
            strip = picture(montage(thumbnails(found), EXAMPLES), f"{len(found)} examples of class {name}")
            rows.append(f"<span>{html.escape(name)}</span>{strip}")
    lead = f"The first {EXAMPLES} training images of each of the {_shown(classes)} classes, one class per row."
    return Section("Examples", lead, [html.Html(f'<div class="montage">{"".join(rows)}</div>')])


def _shown(classes: list[str]) -> str:
    return f"first {MAX_CLASSES} of {len(classes)}" if len(classes) > MAX_CLASSES else str(len(classes))


def _balance(parts: dict[str, Images], classes: list[str]) -> Section:
    counts = {name: np.bincount(part.labels, minlength=len(classes)) for name, part in parts.items()}
    shares = {name: of / max(1, of.sum()) for name, of in counts.items()}
    train = counts["train"]
    most, least = int(train.argmax()), int(train.argmin())
    if train[most] == train[least]:
        lead = f"In train, every class has {train[most]:,} images."
    else:
        lead = (
            f"In train, {classes[most]} is the most frequent class ({train[most]:,} images, "
            f"{percent(shares['train'][most])}) and {classes[least]} the least ({train[least]:,}, "
            f"{percent(shares['train'][least])})."
        )
    drawing = split_bars(classes, shares, "Classes", "Share of each class, by split.")
    rows = [
        {"Class": name, **{split: int(of[label]) for split, of in counts.items()}} for label, name in enumerate(classes)
    ]
    return Section("Class balance", lead, [html.grid([drawing, html.table(rows, "Images of each class")])])


def _means(train: Images, classes: list[str]) -> Section:
    masks = [(name, train.labels == label) for label, name in enumerate(classes[:MAX_CLASSES])]
    masks = [(name, mask) for name, mask in masks if mask.any()]
    means = np.stack([train.pixels[mask].mean(axis=0) for _, mask in masks])
    lead = f"Mean training image of each of the {_shown(classes)} classes: the sharper, the more its images agree."
    if len(masks) > 1:
        names, flat = [name for name, _ in masks], means.reshape(len(means), -1)
        distance = np.sqrt(((flat[:, None] - flat[None]) ** 2).mean(axis=2))
        pairs = [(distance[i, j], i, j) for i in range(len(names)) for j in range(i)]
        (near, a, b), (far, c, d) = min(pairs), max(pairs)
        lead += (
            f" The means of {names[b]} and {names[a]} are most similar ({near:.1f} levels apart), those of "
            f"{names[d]} and {names[c]} least ({far:.1f})."
        )
    pictures = [
        html.captioned(picture(mean, f"Mean image of class {name}"), name, f"{mask.sum():,} images")
        for (name, mask), mean in zip(masks, thumbnails(np.round(means).astype(np.uint8)), strict=True)
    ]
    return Section("Mean images", lead, [html.grid(pictures, small=True)])


def _intensities(parts: dict[str, Images]) -> Section:
    rows, outlined = [], {}
    for name, part in parts.items():
        counts = frequencies(part.pixels)
        rows.append({"Split": name, **_summary(counts)})
        outlined[name] = _coarse(counts)
    lead = (
        f"Training pixels have a mean of {rows[0]['Mean']} of 255 and a standard deviation of {rows[0]['Std']}; "
        f"{rows[0]['0 (black)']} are black (0) and {rows[0]['255 (white)']} white (255)."
    )
    alt = "Histograms of pixel intensity in train, val and test, overlaid"
    shown = _histograms(outlined, SPLIT_COLOURS, "Intensity", "Share of all pixels, in steps of 16.", alt)
    figures = [shown, html.table(rows, "Intensity, by split")]
    if parts["train"].pixels.ndim == 4:
        figures += _channels(parts["train"].pixels)
    return Section("Pixels", lead, [html.grid(figures)])


def _channels(pixels: np.ndarray) -> list[html.Html]:
    """Statistics of the channels of the training images, which normalise a network's input."""
    counts = {name: frequencies(pixels[..., channel]) for channel, name in enumerate(CHANNELS)}
    rows = [{"Channel": name, **_summary(of)} for name, of in counts.items()]
    coarse = {name: _coarse(of) for name, of in counts.items()}
    alt = "Histograms of the red, green and blue values in train, overlaid"
    shown = _histograms(coarse, CHANNELS, "Channels", "Share of training pixels, in steps of 16.", alt)
    return [shown, html.table(rows, "Channels of the training images")]


def _summary(counts: np.ndarray) -> JsonObject:
    grey = np.arange(256)
    total = max(1, counts.sum())
    mean = float((counts * grey).sum() / total)
    return {
        "Mean": round(mean, 2),
        "Std": round(float(np.sqrt((counts * (grey - mean) ** 2).sum() / total)), 2),
        "0 (black)": percent(counts[0] / total),
        "255 (white)": percent(counts[255] / total),
    }


def _coarse(counts: np.ndarray) -> np.ndarray:
    return counts.reshape(16, 16).sum(axis=1) / max(1, counts.sum())


def _histograms(
    shares: dict[str, np.ndarray], colours: dict[str, str], title: str, caption: str, alt: str
) -> html.Html:
    drawing, axes = outlines(shares, np.arange(0, 257, 16), bottom=42, height=160, colours=colours)
    axes.set_xlabel("intensity")
    axes.set_xticks(np.arange(0, 257, 64))
    return figure(drawing, title, caption, alt)


def frequencies(pixels: np.ndarray) -> np.ndarray:
    """Histogram of the intensities over all pixels: uint8, any shape -> int64 [256]"""
    counts = np.zeros(256, np.int64)
    for start in range(0, len(pixels), CHUNK):
        counts += np.bincount(pixels[start : start + CHUNK].ravel(), minlength=256)
    return counts


def measure(part: Images, classes: list[str], target: str) -> pd.DataFrame:
    """Per image: its class, and the mean and standard deviation of its pixels."""
    flat = part.pixels.reshape(len(part.pixels), -1)
    mean, std = np.empty(len(flat)), np.empty(len(flat))
    for start in range(0, len(flat), CHUNK):
        chunk = flat[start : start + CHUNK].astype(np.float32)
        mean[start : start + CHUNK] = chunk.mean(axis=1)
        std[start : start + CHUNK] = chunk.std(axis=1)
    return pd.DataFrame({target: np.array(classes, object)[part.labels], "brightness": mean, "contrast": std})
