"""The report page: self-contained, escaped, reproducible, and right about drift."""

import re
import warnings
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipelines.report import sections_of_task
from roadmap.data import splits
from roadmap.io.errors import UsageError
from roadmap.reporting import formatting
from roadmap.reporting.page import write
from roadmap.reporting.pictures import montage
from roadmap.reporting.tasks import associations, corpus, drift, images, series

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


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    return render(tmp_path_factory.mktemp("page"), prepared_table())


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


@pytest.mark.parametrize("task", ["binary", "regression"])
def test_a_table_report_is_self_contained(tmp_path: Path, task: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # ignore Chinese glyphs that matplotlib's font lacks
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", FutureWarning)
        page = render(tmp_path, prepared_table(task))
    is_whole(page)
    texts = Parsed(page).texts
    assert "<script" not in page and HOSTILE in texts
    assert {"性别", "女", "$x_1$"} <= set(texts)  # names in tables and figures are not parsed as mathematics
    assert "备注" in texts and "text with 600 distinct values" in texts


def test_sentences_contain_the_figures(page: str) -> None:
    shares = prepared_table().splits["train"].groupby("性别")["生还"].mean()
    assert f"{shares['女']:.0%} for 女, {shares['男']:.0%} for 男" in page
    assert "2 columns of 4 have gaps; 年龄 has the most, 4.4% of its values." in page
    assert "680 rows with 2 numeric columns and 2 text columns to predict 生还" in page


def test_without_missing_values_there_is_no_section_on_them(tmp_path: Path) -> None:
    prepared = prepared_table()
    for name, part in prepared.splits.items():
        prepared.splits[name] = part.dropna()
    page = render(tmp_path, prepared)
    assert "Missing values" not in page and "None of the cells are missing" in page


def test_leaking_columns_are_warned_about(tmp_path: Path, page: str) -> None:
    prepared = prepared_table()
    notes = {"leaks": {"性别": "100.0% of the target's variance lies between its levels"}}
    texts = Parsed(render(tmp_path, replace(prepared, notes=notes))).texts
    assert "Leakage" in texts and any("性别 is 生还, or nearly" in text for text in texts)
    assert "Leakage" not in Parsed(page).texts


def test_the_same_data_give_the_same_page(tmp_path: Path, page: str) -> None:
    assert render(tmp_path / "table", prepared_table()) == page
    assert render(tmp_path / "a", prepared_images()) == render(tmp_path / "b", prepared_images())


def verdicts(page: str) -> dict[str, str]:
    found = re.findall(r'<tr><th scope="row">([^<]*)</th><td><span class="verdict \w+">([\w ]+)<', page)
    return dict(found)


def test_drifted_columns_appear_by_name(tmp_path: Path, page: str) -> None:
    alike = verdicts(page)
    assert len(alike) == 5 and set(alike.values()) == {"alike"}
    drifted = render(tmp_path, prepared_table(older=12))
    assert {name for name, verdict in verdicts(drifted).items() if verdict == "differs"} == {"年龄"}
    assert "1 of 5 columns differs between train and test: 年龄" in drifted


def test_drift_of_categories_and_missing_values() -> None:
    rng = np.random.default_rng(0)
    train, test = pd.Series(rng.choice(["a", "b", "c"], 2000)), pd.Series(rng.choice(["a", "b", "d"], 500))
    assert drift.compare("x", train, test, "category").verdict(10) == "differs"
    numbers = pd.Series(rng.normal(size=2000))
    gaps = numbers[:500].mask(rng.random(500) < 0.3)
    assert drift.compare("x", numbers, gaps, "number").verdict(10) == "differs"
    few = drift.compare("x", numbers, numbers[:5], "number")
    assert few.verdict(10) == "too few rows"


def test_chance_is_rarely_reported_as_drift() -> None:
    rng = np.random.default_rng(0)
    columns = {f"{kind} {n}": kind for kind in ("number", "category") for n in range(50)}
    calls = []
    for name, kind in columns.items():
        values = pd.Series(rng.normal(size=300) if kind == "number" else rng.choice(list("abcdefghij"), 300))
        calls.append(drift.compare(name, values[:240], values[240:], kind).verdict(len(columns)))
    assert set(calls) == {"alike"}


def test_association_of_noise_is_near_zero_and_of_copies_one() -> None:
    rng = np.random.default_rng(0)
    number, level = pd.Series(rng.normal(size=500)), pd.Series(rng.choice([f"level {n}" for n in range(40)], 500))
    other = pd.Series(rng.choice(list("abcdefghij"), 500))
    assert associations.associate(level, number, "category", "number") < 0.2
    assert associations.associate(level, other, "category", "category") < 0.2
    assert associations.associate(level, level, "category", "category") == pytest.approx(1)
    assert associations.associate(number, -number, "number", "number") == pytest.approx(-1)
    constant = pd.Series(np.ones(500))
    assert associations.associate(constant, number, "number", "number") == 0


def test_images_show_examples_means_and_duplicates(tmp_path: Path) -> None:
    page = render(tmp_path, prepared_images())
    is_whole(page)
    alternatives = [attrs["alt"] for tag, attrs in Parsed(page).tags if tag == "img"]
    for name in ("猫", "狗", HOSTILE):
        assert f"12 examples of class {name}" in alternatives and f"Mean image of class {name}" in alternatives
    assert "2 test images are in train too" in page and "<script" not in page
    assert set(verdicts(page).values()) == {"alike"}


def test_colour_images_show_their_channels(tmp_path: Path) -> None:
    """Red is 20 everywhere, green 100, blue 180; grey images have no such section."""
    prepared = prepared_images()
    for part in prepared.splits.values():
        part["image"] = np.broadcast_to(np.array([20, 100, 180], np.uint8), (*part["image"].shape, 3)).copy()
    page = render(tmp_path / "colour", prepared)
    is_whole(page)
    found = re.findall(r'<th scope="row">(red|green|blue)</th><td class="number">([\d.]+)<', page)
    assert found == [("red", "20"), ("green", "100"), ("blue", "180")]
    assert "8 × 8, colour" in page and "every class has 100 images" in page
    assert "Channels" not in render(tmp_path / "grey", prepared_images())


def test_brighter_test_images_differ(tmp_path: Path) -> None:
    assert verdicts(render(tmp_path, prepared_images(brighter=20)))["brightness"] == "differs"


def test_series_show_prices_returns_and_autocorrelation(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", FutureWarning)
        page = render(tmp_path, prepared_series())
    is_whole(page)
    assert "900 trading days of 2 symbols from 2016-01-04" in page and "<script" not in page
    assert f"{HOSTILE}.csv: 3 rows without a close dropped" in Parsed(page).texts
    found = re.search(r"(\d+) of 30 lags lie outside the band for returns, .* and (\d+) for squares", page)
    assert found and int(found[1]) <= 6 < int(found[2])
    assert "$" not in "".join(Parsed(page).texts), "no tick label is a formula"


def test_a_more_volatile_test_period_differs(tmp_path: Path) -> None:
    assert verdicts(render(tmp_path, prepared_series(alike=False)))["its size"] == "differs"


def test_autocorrelation_of_an_autoregression() -> None:
    shocks = np.random.default_rng(0).normal(size=20_000)
    values = np.zeros(20_000)
    for t in range(1, 20_000):
        values[t] = 0.6 * values[t - 1] + shocks[t]
    assert series.autocorrelation(values, 4) == pytest.approx([0.6, 0.36, 0.216, 0.13], abs=0.03)


@pytest.mark.parametrize("shape", [(6, 5), (1, 6, 5), (3, 6, 5), (6, 5, 1), (6, 5, 3)])
def test_images_in_any_layout(shape: tuple[int, ...]) -> None:
    values = np.random.default_rng(0).random((10, *shape)).astype(np.float32)
    found = images.images({"image": values, "label": np.zeros(10)}, "label").pixels
    assert found.dtype == np.uint8 and found.max() > 200
    assert found.shape == ((10, 6, 5, 3) if 3 in shape else (10, 6, 5))
    assert montage(found, 12).shape == (6, 12 * 6, 4)


def test_an_unknown_task_is_rejected_and_none_has_no_sections() -> None:
    folder = Path("data/titanic")
    with pytest.raises(UsageError, match=r"titanic/card.json: schema.task: found 'image'; did you mean 'images'"):
        sections_of_task(folder, {"schema": {"task": "image"}})
    assert sections_of_task(folder, {"schema": {}}) == []


@pytest.mark.parametrize(
    ("value", "number", "share"),
    [
        (0, "0", "0%"),
        (0.00004, "4e−05", "under 0.1%"),
        (0.042, "0.042", "4.2%"),
        (0.73, "0.73", "73%"),
        (1, "1", "100%"),
    ],
)
def test_formatting_of_numbers(value: float, number: str, share: str) -> None:
    assert (formatting.number(value), formatting.percent(value)) == (number, share)


def prepared_corpus(text: str) -> splits.PreparedData:
    cuts = [0, int(0.8 * len(text)), int(0.9 * len(text)), len(text)]
    parts = {name: text[cuts[n] : cuts[n + 1]] for n, name in enumerate(splits.SPLITS)}
    arrays = {name: {"text": np.array(list(map(ord, part)), np.uint32)} for name, part in parts.items()}
    return splits.PreparedData(splits=arrays, source="a text", licence="none", schema={"task": "corpus"})


def test_a_text_corpus_report(tmp_path: Path) -> None:
    words = ["the", "cat", "sat", "on", "a", "mat", HOSTILE, "$x_1$"]
    rng = np.random.default_rng(0)
    text = "\n".join(" ".join(rng.choice(words, 6)) for _ in range(300)) + "\nünique"
    page = render(tmp_path / "a", prepared_corpus(text))
    is_whole(page)
    assert f"{len(text):,} characters in 301 lines" in page and "<script" not in page
    assert re.search(r"test: [^.;]*ü", page) and "mathdefault" not in page
    assert render(tmp_path / "b", prepared_corpus(text)) == page


def test_chinese_text_is_counted_in_characters(tmp_path: Path) -> None:
    page = render(tmp_path, prepared_corpus("天地玄黄宇宙洪荒\n日月盈昃辰宿列张\n" * 60))
    is_whole(page)
    assert "distinct, 0% of which occur once" in page and "characters" in page


def test_entropy_of_runs_of_characters() -> None:
    """A coin flip has one bit; a period of four has two bits, and none once a character is known."""
    coin = np.random.default_rng(0).integers(0, 2, 200_000)
    joint, last = corpus.entropies(coin)
    np.testing.assert_allclose(joint, range(1, 8), atol=0.01)
    np.testing.assert_allclose(last, 1, atol=0.01)
    np.testing.assert_allclose(corpus.entropies(np.arange(40_000) % 4)[1], [2, 0, 0, 0, 0, 0, 0], atol=0.01)
