"""The report page: self-contained, escaped, reproducible, and right about drift."""

import warnings
from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.report import sections_of_task
from roadmap.io.errors import UsageError
from roadmap.reporting import formatting
from tests.support.reports import (
    HOSTILE,
    Parsed,
    is_whole,
    prepared_images,
    prepared_table,
    render,
    verdicts,
)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    return render(tmp_path_factory.mktemp("page"), prepared_table())


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


def test_drifted_columns_appear_by_name(tmp_path: Path, page: str) -> None:
    alike = verdicts(page)
    assert len(alike) == 5 and set(alike.values()) == {"alike"}
    drifted = render(tmp_path, prepared_table(older=12))
    assert {name for name, verdict in verdicts(drifted).items() if verdict == "differs"} == {"年龄"}
    assert "1 of 5 columns differs between train and test: 年龄" in drifted


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
