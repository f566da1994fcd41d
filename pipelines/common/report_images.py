"""The report of images: examples and means of each class, pixel statistics, whether train and test are alike.

A split holds one array of images, [n, height, width] or with 1 or 3 channels before or after, and one of labels [n].
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator, PercentFormatter

from pipelines.common import report, splits
from pipelines.common.report import SPLIT_COLOURS, Html, Section, percent
from pipelines.common.report_table import drift, split_bars

EXAMPLES = 12  # per class in the montage
MAX_CLASSES = 30  # with pictures
EDGE = 48  # pixels of a picture; of larger images every second, third, ... pixel is shown
CHUNK = 4096  # images turned into floats at once


@dataclass(frozen=True)
class Images:
    pixels: np.ndarray  # uint8 [n, height, width] or [n, height, width, 3]
    labels: np.ndarray  # int [n]


def sections(folder: Path, card: dict[str, Any]) -> list[Section]:
    target = card["schema"]["target"]
    classes = [str(name) for name in card["schema"]["classes"]]
    parts = {name: images(splits.read(folder, name), target) for name in splits.SPLITS}
    return [
        _overview(parts, classes, card),
        _examples(parts["train"], classes),
        _balance(parts, classes),
        _means(parts["train"], classes),
        _intensities(parts),
        _drift(parts["train"], parts["test"], classes, target),
    ]


def images(arrays: dict[str, np.ndarray], target: str) -> Images:
    pixels = next(array for name, array in arrays.items() if name != target and array.ndim >= 3)
    if pixels.ndim == 4 and pixels.shape[1] in (1, 3) and pixels.shape[3] not in (1, 3):
        pixels = np.moveaxis(pixels, 1, 3)
    if pixels.ndim == 4 and pixels.shape[3] == 1:
        pixels = pixels[..., 0]
    if pixels.dtype != np.uint8:
        scale = 255 if pixels.dtype.kind == "f" and pixels.max() <= 1 else 1
        pixels = np.clip(np.round(pixels * scale), 0, 255).astype(np.uint8)
    return Images(np.ascontiguousarray(pixels), arrays[target].astype(np.int64))


def _overview(parts: dict[str, Images], classes: list[str], card: dict[str, Any]) -> Section:
    height, width = parts["train"].pixels.shape[1:3]
    colour = "colour" if parts["train"].pixels.ndim == 4 else "grey"
    seen = {name: [image.tobytes() for image in part.pixels] for name, part in parts.items()}
    train = set(seen["train"])
    leaked = sum(image in train for image in seen["test"])
    repeated = len(seen["train"]) - len(train)
    rows = sum(card["rows"].values())
    lead = (
        f"{rows:,} {colour} images of {width} × {height} pixels in {len(classes)} classes. "
        f"{leaked or 'No'} test {'image is' if leaked < 2 else 'images are'} in train too, pixel for pixel; "
        f"{repeated or 'no'} training {'image repeats' if repeated < 2 else 'images repeat'} an earlier one."
    )
    pairs: list[tuple[str, Any]] = [(f"Images, {name}", f"{len(part.labels):,}") for name, part in parts.items()]
    pairs += [
        ("Classes", len(classes)),
        ("Size", f"{width} × {height}, {colour}"),
        ("Test images also in train", f"{leaked:,}"),
        ("Duplicates within train", f"{repeated:,}"),
        ("Source", card["source"]),
        ("Licence", card["licence"]),
        ("sha256 of the splits", Html(f"<code>{report.escape(card['sha256'])}</code>")),
    ]
    return Section("Overview", lead, [report.facts(pairs)])


def _examples(train: Images, classes: list[str]) -> Section:
    rows = []
    for label, name in enumerate(classes[:MAX_CLASSES]):
        found = train.pixels[train.labels == label][:EXAMPLES]
        if len(found):
            strip = report.picture(montage(thumbnails(found)), f"{len(found)} examples of class {name}")
            rows.append(f"<span>{report.escape(name)}</span>{strip}")
    lead = f"The first {EXAMPLES} training images of each of the {_shown(classes)} classes, a class per row."
    return Section("Examples", lead, [Html(f'<div class="montage">{"".join(rows)}</div>')])


def _shown(classes: list[str]) -> str:
    return f"first {MAX_CLASSES} of {len(classes)}" if len(classes) > MAX_CLASSES else str(len(classes))


def thumbnails(found: np.ndarray) -> np.ndarray:
    """[n, height, width, ...] -> every k-th pixel, so that no edge is longer than EDGE."""
    step = -(-max(found.shape[1:3]) // EDGE)
    return found[:, ::step, ::step]


def montage(found: np.ndarray) -> np.ndarray:
    """[n, height, width, ...] -> a row with EXAMPLES places and clear gaps, [height, EXAMPLES * (width + gap), 4]"""
    n, height, width = found.shape[:3]
    colours = found if found.ndim == 4 else np.repeat(found[..., None], 3, axis=3)
    row = np.zeros((height, EXAMPLES, width + 1 + width // 16, 4), np.uint8)
    row[:, :n, :width, :3] = colours.swapaxes(0, 1)
    row[:, :n, :width, 3] = 255
    return row.reshape(height, -1, 4)


def _balance(parts: dict[str, Images], classes: list[str]) -> Section:
    counts = {name: np.bincount(part.labels, minlength=len(classes)) for name, part in parts.items()}
    train = counts["train"]
    most, least = int(train.argmax()), int(train.argmin())
    lead = (
        f"In train, {classes[most]} is the most frequent class ({train[most]:,} images, "
        f"{percent(train[most] / train.sum())}) and {classes[least]} the least ({train[least]:,}, "
        f"{percent(train[least] / train.sum())})."
    )
    shares = {name: of / max(1, of.sum()) for name, of in counts.items()}
    drawing = split_bars(classes, shares, "Classes", "Share of each class, by split.")
    rows = [
        {"Class": name, **{split: int(of[label]) for split, of in counts.items()}} for label, name in enumerate(classes)
    ]
    return Section("Class balance", lead, [report.grid([drawing, report.table(rows, "Images of each class")])])


def _means(train: Images, classes: list[str]) -> Section:
    present = [label for label in range(len(classes))[:MAX_CLASSES] if (train.labels == label).any()]
    means = np.stack([train.pixels[train.labels == label].mean(axis=0) for label in present])
    flat = means.reshape(len(means), -1)
    distance = np.sqrt(((flat[:, None] - flat[None]) ** 2).mean(axis=2))
    lead = f"The mean of the training images of each of the {_shown(classes)} classes: sharp where its images agree."
    if len(present) > 1:
        pairs = [(distance[i, j], i, j) for i in range(len(present)) for j in range(i)]
        (near, a, b), (far, c, d) = min(pairs), max(pairs)
        name = [classes[label] for label in present]
        lead += (
            f" The means of {name[b]} and {name[a]} are most alike ({near:.1f} grey levels apart), those of {name[d]} "
            f"and {name[c]} least ({far:.1f})."
        )
    figures = [
        report.captioned_picture(
            thumbnails(np.round(mean[None]).astype(np.uint8))[0],
            classes[label],
            f"{(train.labels == label).sum():,} images",
            f"Mean image of class {classes[label]}",
        )
        for label, mean in zip(present, means, strict=True)
    ]
    return Section("Mean images", lead, [report.grid(figures, small=True)])


def _intensities(parts: dict[str, Images]) -> Section:
    counts = {name: levels(part.pixels) for name, part in parts.items()}
    rows, grey = [], np.arange(256)
    for name, of in counts.items():
        total = max(1, of.sum())
        mean = float((of * grey).sum() / total)
        std = float(np.sqrt((of * (grey - mean) ** 2).sum() / total))
        rows.append(
            {
                "Split": name,
                "Mean": round(mean, 2),
                "Std": round(std, 2),
                "0 (black)": percent(of[0] / total),
                "255 (white)": percent(of[255] / total),
            }
        )
    lead = (
        f"Training pixels have a mean of {rows[0]['Mean']} of 255 and a standard deviation of {rows[0]['Std']}; "
        f"{rows[0]['0 (black)']} are black (0) and {rows[0]['255 (white)']} white (255)."
    )
    figure = report.chart(230)
    axes = report.panel(figure, 46, 42, 302, 160)
    edges = np.arange(0, 257, 16)
    for name, of in counts.items():
        shares = of.reshape(16, 16).sum(axis=1) / max(1, of.sum())
        axes.stairs(shares, edges, color=SPLIT_COLOURS[name], label=name, linewidth=1.5)
    axes.set_xlabel("intensity")
    axes.set_xticks(np.arange(0, 257, 64))
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=None))
    axes.yaxis.set_major_locator(MaxNLocator(4))
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=len(counts), borderpad=0, handlelength=1)
    alt = "Histograms of pixel intensity in train, val and test, one over the other"
    drawing = report.figure(figure, "Intensity", "Share of all pixels, in steps of 16.", alt)
    return Section("Pixels", lead, [report.grid([drawing, report.table(rows, "Intensity, by split")])])


def levels(pixels: np.ndarray) -> np.ndarray:
    """How often each of the 256 intensities occurs, every pixel counted."""
    counts = np.zeros(256, np.int64)
    for start in range(0, len(pixels), CHUNK):
        counts += np.bincount(pixels[start : start + CHUNK].ravel(), minlength=256)
    return counts


def _drift(train: Images, test: Images, classes: list[str], target: str) -> Section:
    kinds = {target: "category", "brightness": "number", "contrast": "number"}
    return drift(measure(train, classes, target), measure(test, classes, target), kinds)


def measure(part: Images, classes: list[str], target: str) -> pd.DataFrame:
    """Per image: its class, and the mean and standard deviation of its pixels."""
    flat = part.pixels.reshape(len(part.pixels), -1)
    mean, std = np.empty(len(flat)), np.empty(len(flat))
    for start in range(0, len(flat), CHUNK):
        chunk = flat[start : start + CHUNK].astype(np.float32)
        mean[start : start + CHUNK] = chunk.mean(axis=1)
        std[start : start + CHUNK] = chunk.std(axis=1)
    return pd.DataFrame({target: np.array(classes, object)[part.labels], "brightness": mean, "contrast": std})
