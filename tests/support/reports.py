"""Data with hostile names, reports on it, and what every report must be."""

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipelines.report import sections_of_task
from roadmap.data import splits
from roadmap.reporting.page import write

HOSTILE = "<script>alert('x')</script>"
PROJECT = "titanic"  # any project without its own report


def people(rows: int, seed: int, older: float = 0.0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "年龄": rng.normal(40 + older, 12, rows).round(),
            "性别": rng.choice(["男", "女"], rows).astype(object),
            HOSTILE: rng.choice([HOSTILE, "$x_1$", 'a" onload="b'], rows),
            "siblings": rng.integers(0, 4, rows).astype(float),
        }
    )
    frame["生还"] = (rng.random(rows) < np.where(frame["性别"] == "女", 0.8, 0.2)).astype("int64")
    frame.loc[:9, "年龄"] = np.nan
    frame.loc[5:7, "性别"] = None
    return frame


def prepared_table(task: str = "binary", older: float = 0.0) -> splits.PreparedData:
    parts = {"train": people(400, 0), "val": people(80, 1), "test": people(200, 2, older)}
    columns = {"年龄": "number", "性别": "category", HOSTILE: "category", "siblings": "number"}
    target = "生还"
    schema: dict[str, Any] = {
        "task": task,
        "target": target,
        "columns": {name: {"kind": kind} for name, kind in columns.items()},
        "ignored": {"备注": "text with 600 distinct values"},
    }
    if task == "regression":
        del schema["columns"]["年龄"]
        schema["target"], parts = "年龄", {name: part.dropna(subset=["年龄"]) for name, part in parts.items()}
    else:
        schema["classes"] = ["遇难", "幸存"]
    return splits.PreparedData(splits=parts, source=f"csv:{HOSTILE}.csv", licence="yours", schema=schema)


def prepared_images(brighter: int = 0) -> splits.PreparedData:
    def part(rows: int, seed: int, more: int = 0) -> dict[str, np.ndarray]:
        rng = np.random.default_rng(seed)
        labels = np.arange(rows) % 3
        images = rng.integers(0, 120, (rows, 8, 8)) + 30 * labels[:, None, None] + more
        return {"image": images.astype(np.uint8), "kind": labels}

    parts = {"train": part(300, 0), "val": part(60, 1), "test": part(120, 2, brighter)}
    parts["test"]["image"][:2] = parts["train"]["image"][:2]
    schema = {"task": "images", "size": 8, "target": "kind", "classes": ["猫", "狗", HOSTILE]}
    return splits.PreparedData(splits=parts, source="noise", licence="none", schema=schema)


def prepared_series(alike: bool = True) -> splits.PreparedData:
    """Two symbols whose volatility comes in clusters; three times as loud after the training period if not alike."""
    rng = np.random.default_rng(0)
    dates = pd.bdate_range("2016-01-04", periods=900)
    frames = []
    for symbol in ("贵州茅台", HOSTILE):
        loud = np.repeat(rng.choice([0.006, 0.02], 30), 30)
        returns = loud * rng.normal(size=900) * np.where(np.arange(900) < 600 if not alike else True, 1.0, 3.0)
        frames.append(pd.DataFrame({"date": dates, "symbol": symbol, "close": 50 * np.exp(np.cumsum(returns))}))
    days = pd.concat(frames, ignore_index=True)
    cuts = {"train": (0, 600), "val": (600, 700), "test": (700, 900)}
    parts = {name: days[days["date"].isin(dates[a:b])].reset_index(drop=True) for name, (a, b) in cuts.items()}
    schema = {"task": "series", "symbols": ["贵州茅台", HOSTILE], "horizons": [1, 5, 20]}
    notes = {"cleaning": [f"{HOSTILE}.csv: 3 rows without a close dropped"]}
    return splits.PreparedData(splits=parts, source="noise", licence="none", schema=schema, notes=notes)


def render(folder: Path, prepared: splits.PreparedData) -> str:
    """The page of a project, as the stage writes it."""
    data = folder / "data"
    splits.write(data, prepared, "sample")
    card = splits.read_card(data)
    size = write(folder / "index.html", PROJECT, card, lambda: sections_of_task(data, card))
    content = (folder / "index.html").read_bytes()
    assert len(content) == size
    return content.decode()


class Parsed(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def is_whole(page: str) -> None:
    """Checks for no external resources or scripts, unique ids, and alt text for every image."""
    parsed = Parsed(page)
    assert {"script", "link", "iframe", "object", "embed"}.isdisjoint(tag for tag, _ in parsed.tags)
    ids = [attrs["id"] for _, attrs in parsed.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    for tag, attrs in parsed.tags:
        assert not [name for name in attrs if name.startswith("on")]
        for name in ("src", "href", "xlink:href"):
            assert re.match(r"data:image/png;base64,|#", attrs.get(name) or "#")
            if (attrs.get(name) or "").startswith("#"):
                assert str(attrs[name])[1:] in ids
        if tag == "svg":
            assert attrs["role"] == "img" and attrs["aria-label"]
        if tag == "img" or tag == "html":
            assert attrs["alt" if tag == "img" else "lang"]
    assert "http" not in page and "@import" not in page
    assert set(re.findall(r"url\(#(\w+)\)", page)) <= set(map(str, ids))


def verdicts(page: str) -> dict[str, str]:
    found = re.findall(r'<tr><th scope="row">([^<]*)</th><td><span class="verdict \w+">([\w ]+)<', page)
    return dict(found)


def prepared_corpus(text: str) -> splits.PreparedData:
    cuts = [0, int(0.8 * len(text)), int(0.9 * len(text)), len(text)]
    parts = {name: text[cuts[n] : cuts[n + 1]] for n, name in enumerate(splits.SPLITS)}
    arrays = {name: {"text": np.array(list(map(ord, part)), np.uint32)} for name, part in parts.items()}
    return splits.PreparedData(splits=arrays, source="a text", licence="none", schema={"task": "corpus"})
