"""Reports on images, series and texts show what is particular to them."""

import re
import warnings
from pathlib import Path

import numpy as np
import pytest

from roadmap.reporting.pictures import montage
from roadmap.reporting.tasks import images
from tests.support.reports import (
    HOSTILE,
    Parsed,
    is_whole,
    prepared_corpus,
    prepared_images,
    prepared_series,
    render,
    verdicts,
)


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


@pytest.mark.parametrize("shape", [(6, 5), (1, 6, 5), (3, 6, 5), (6, 5, 1), (6, 5, 3)])
def test_images_in_any_layout(shape: tuple[int, ...]) -> None:
    values = np.random.default_rng(0).random((10, *shape)).astype(np.float32)
    found = images.images({"image": values, "label": np.zeros(10)}, "label").pixels
    assert found.dtype == np.uint8 and found.max() > 200
    assert found.shape == ((10, 6, 5, 3) if 3 in shape else (10, 6, 5))
    assert montage(found, 12).shape == (6, 12 * 6, 4)


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
