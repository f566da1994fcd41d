"""A user's own CSV: every row and value is kept, and what was inferred is printed."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pytest

from roadmap.data.splits import PreparedData
from roadmap.data.tables import prepare_csv
from roadmap.inference.tabular import MAX_TEXT
from roadmap.inference.tabular.features import Features, from_frame
from roadmap.io.errors import UsageError
from tests.support.tables import ROWS, SHARES, csv_of, whole


def test_an_ordinary_csv_keeps_every_row_and_value(prepare: Callable[..., PreparedData]) -> None:
    found = prepare(csv_of())
    assert found.source == "csv:mine.csv"
    assert {name: len(split) for name, split in found.splits.items()} == {"train": 42, "val": 9, "test": 9}
    frame = whole(found).sort_values("area")
    assert frame["price"].tolist() == [i * 5.0 for i in range(1, ROWS + 1)]
    assert frame["colour"].tolist() == ["red" if i % 2 == 0 else "blue" for i in range(1, ROWS + 1)]
    assert found.schema["columns"] == {
        "area": {"kind": "number", "min": 2.0, "max": 120.0},
        "colour": {"kind": "category", "levels": ["blue", "red"]},
    }


@pytest.mark.parametrize(
    ("content", "target", "columns"),
    [
        (b"\xef\xbb\xbf" + csv_of("price,colour,x").encode(), "price", ["colour", "x"]),
        (csv_of("面积,颜色,价格"), "价格", ["面积", "颜色"]),
        (csv_of('area,"a, b",price', lambda i: f'{i * 2},"{i % 2}, red",{i}'), "price", ["area", "a, b"]),
        (csv_of("area, b, price", lambda i: f"{i * 2}, {i % 2}, {i}"), "price", ["area", "b"]),
        (csv_of().replace("\n", "\r\n"), "price", ["area", "colour"]),
    ],
    ids=["byte order mark", "Chinese names", "quoted commas", "spaces after commas", "Windows line ends"],
)
def test_csv_dialects_are_read(
    prepare: Callable[..., PreparedData], content: Any, target: str, columns: list[str]
) -> None:
    found = prepare(content, target)
    assert list(found.schema["columns"]) == columns
    assert len(whole(found)) == ROWS


def test_inferred_column_kinds_are_printed(
    prepare: Callable[..., PreparedData], capsys: pytest.CaptureFixture[str]
) -> None:
    def row(i: int) -> str:
        return f"{i if i % 3 else ''},{i % 2 == 0},{'ab'[i % 2] if i > 9 else ''},id-{i},,same,{i}"

    found = prepare(csv_of("gappy,flag,letter,id,void,const,price", row))
    kinds = {name: spec["kind"] for name, spec in found.schema["columns"].items()}
    assert kinds == {"gappy": "number", "flag": "category", "letter": "category"}
    assert found.schema["columns"]["flag"]["levels"] == ["False", "True"]
    assert set(found.schema["ignored"]) == {"id", "void", "const"}
    frame = whole(found)
    assert frame["gappy"].isna().sum() == 20
    assert frame["letter"].isna().sum() == 9
    assert sorted(frame["flag"].unique()) == ["False", "True"]
    message = capsys.readouterr().out
    assert "60 rows, target 'price' (regression)" in message
    assert "gappy: number, 1 to 59, 20 missing" in message
    assert "letter: category, 2 levels, 9 missing" in message
    assert "id: left out (text with 60 distinct values)" in message
    assert "void: left out" in message


def test_columns_of_long_text_are_dropped(prepare: Callable[..., PreparedData]) -> None:
    prose = ["x" * (MAX_TEXT + 1) + end for end in "yz"]
    found = prepare(csv_of(row=lambda i: f"{i * 2},{prose[i % 2]},{i}"))
    assert list(found.schema["columns"]) == ["area"]


def test_rows_without_a_target_are_dropped(prepare: Callable[..., PreparedData]) -> None:
    assert len(whole(prepare(csv_of(row=lambda i: f"{i * 2},red,{i if i > 10 else ''}")))) == 50


def test_classes_keep_their_names_and_their_shares(prepare: Callable[..., PreparedData]) -> None:
    found = prepare(csv_of(row=lambda i: f"{i * 2},red,{'ja' if i % 3 == 0 else 'nein'}"), task="binary")
    assert found.schema["classes"] == ["ja", "nein"]
    assert [int((split["price"] == 0).sum()) for split in found.splits.values()] == [14, 3, 3]
    flags = prepare(csv_of(row=lambda i: f"{i * 2},red,{i % 3 == 0}"), task="binary")
    assert flags.schema["classes"] == ["False", "True"]
    assert whole(flags)["price"].sum() == 20


def test_dropped_rows_are_counted_in_the_output(
    prepare: Callable[..., PreparedData], capsys: pytest.CaptureFixture[str]
) -> None:
    prepare(csv_of(row=lambda i: f"{i * 2},red,{i if i > 10 else ['', 'NA'][i % 2]}"))
    message = capsys.readouterr().out
    assert "10 rows without target 'price' left out (5 NA, 5 empty), the first data row 1" in message


def test_a_class_named_none_is_a_class(prepare: Callable[..., PreparedData]) -> None:
    classes = ["None", "None", "Insomnia", "Sleep Apnea"]
    with pytest.raises(UsageError, match="two classes; found 3: Insomnia, None, Sleep Apnea"):
        prepare(csv_of(row=lambda i: f"{i * 2},red,{classes[i % 4]}"), task="binary")
    found = prepare(csv_of(row=lambda i: f"{i * 2},red,{classes[i % 3]}"), task="binary")
    assert found.schema["classes"] == ["Insomnia", "None"] and len(whole(found)) == ROWS


@pytest.mark.parametrize(
    ("header", "cell"),
    [
        ("", "{0}"),
        ("PassengerId", "{0}"),
        ("seq", "{0}"),
        ("customer_id", "{1}"),
        ("CustomerID", "{1}"),
        ("序号", "{1}"),
    ],
)
def test_index_columns_are_dropped_and_reported_unless_kept(
    prepare: Callable[..., PreparedData], tmp_path: Path, header: str, cell: str
) -> None:
    text = csv_of(f"{header},colour,price", lambda i: f"{cell.format(i - 1, i * 7919 % 6007)},{'ab'[i % 2]},{i}")
    found, name = prepare(text), header or "Unnamed: 0"
    assert list(found.schema["columns"]) == ["colour"] and name in found.schema["ignored"]
    kept = prepare_csv(str(tmp_path / "mine.csv"), "price", "regression", SHARES, 1, keep=[name])
    assert list(kept.schema["columns"]) == [name, "colour"]


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("$1,234.50", "data row 1 has '\$1,234.50'; write plain numbers"),
        ("12%", "data row 1 has '12%'; write plain numbers"),
        ("?", "59 of 60 cells are numbers, but data row 1 has '\?'; mend it, or add it to data.gaps if it is a gap"),
    ],
)
def test_the_cell_that_makes_a_column_text_is_reported(
    prepare: Callable[..., PreparedData], cell: str, message: str
) -> None:
    def row(i: int) -> str:
        written = cell if i == 1 or cell != "?" else str(i * 1.5)
        return f'"{written if i == 1 or cell == "?" else written.replace("1", str(i), 1)}",{"ab"[i % 2]},{i}'

    found = prepare(csv_of(row=row))
    assert re.search(message, found.schema["ignored"]["area"])


@pytest.mark.parametrize("cell", ["0x10", "1_000", "１２３", "١٢٣", "−5", "1 000", "1\u00a0000", "Total"])
def test_what_only_resembles_a_number_is_text_and_reported(prepare: Callable[..., PreparedData], cell: str) -> None:
    found = prepare(csv_of(row=lambda i: f"{cell if i == 7 else i * 1.5},{'ab'[i % 2]},{i}"))
    assert f"data row 7 has {cell!r}" in found.schema["ignored"]["area"]


@pytest.mark.parametrize("cell", ["1e1", "+10", "10.", "010", " 10 ", '"10"'])
def test_numbers_in_every_spelling(prepare: Callable[..., PreparedData], cell: str) -> None:
    found = prepare(csv_of(row=lambda i: f"{cell if i == 7 else i * 1.5},{'ab'[i % 2]},{i}"))
    assert found.schema["columns"]["area"]["kind"] == "number"
    assert whole(found).set_index("price")["area"][7] == 10


@pytest.mark.parametrize(
    ("names", "form"),
    [
        ("area,Area,price", None),
        ("area,colour,price,", None),
        ("area,colour,price", "\r"),
        ("area,colour,price", "\r\n"),
    ],
)
def test_names_and_line_ends_that_programs_write(
    prepare: Callable[..., PreparedData], names: str, form: str | None
) -> None:
    text = csv_of(names, lambda i: f'{i * 1.5},"red\nor {"ab"[i % 2]}",{i}{"," * (names.count(",") - 2)}')
    found = prepare(text.replace("\n", form or "\n"))
    second = names.split(",")[1]
    assert list(found.schema["columns"]) == ["area", second]
    assert found.schema["columns"][second]["levels"] == ["red\nor a", "red\nor b"]


def test_a_link_to_a_table_is_the_table(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text(csv_of())
    (tmp_path / "link.csv").symlink_to(tmp_path / "mine.csv")
    one, other = (
        prepare_csv(str(tmp_path / name), "price", "regression", SHARES, 1) for name in ("mine.csv", "link.csv")
    )
    pd.testing.assert_frame_equal(one.splits["train"], other.splits["train"])


def test_missing_value_markers_can_be_set(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text(csv_of(row=lambda i: f"{i * 1.5 if i % 9 else '?'},red,{i}"))
    found = prepare_csv(str(tmp_path / "mine.csv"), "price", "regression", SHARES, 1, gaps=["?"])
    assert found.schema["columns"]["area"]["kind"] == "number" and whole(found)["area"].isna().sum() == 6
    assert found.schema["reading"] == {"delimiter": ",", "gaps": ["?"]}


def test_target_leakage_is_warned_about(
    prepare: Callable[..., PreparedData], capsys: pytest.CaptureFixture[str]
) -> None:
    def row(i: int) -> str:
        price = i * 37 % 61
        return f"{price**2},{'low' if price < 30 else 'high'},{i * 17 % 29},{price}"

    found = prepare(csv_of("squared,level,noise,price", row))
    assert list(found.notes["leaks"]) == ["squared"]
    assert "warning: squared nearly is the target (100.0% rank correlation" in capsys.readouterr().out
    binary = prepare(csv_of("squared,level,noise,price", lambda i: f"{row(i).rpartition(',')[0]},{i * 37 % 61 < 30}"),
                     task="binary")  # fmt: skip
    assert list(binary.notes["leaks"]) == ["squared", "level"]


def test_missing_categories_are_informative(tmp_path: Path) -> None:
    """rent = 4 area + 200 where `kind` is empty."""
    rng = np.random.default_rng(0)
    area, gap = rng.integers(20, 200, 400), rng.random(400) < 0.3
    kinds = np.where(gap, "", rng.choice(["flat", "house"], 400))
    rents = 4 * area + 200 * gap + rng.normal(0, 10, 400)
    rows = [f"{a},{kind},{rent}" for a, kind, rent in zip(area, kinds, rents, strict=True)]
    (tmp_path / "rents.csv").write_text("\n".join(["area,kind,rent", *rows]))
    prepared = prepare_csv(str(tmp_path / "rents.csv"), "rent", "regression", SHARES, 1)
    train, test = (from_frame(prepared.splits[name], KINDS) for name in ("train", "test"))
    features = Features.fit(train)
    assert features.names == ["area", "kind=house", "kind missing"]
    x, y = (np.c_[features.transform(train), np.ones(len(prepared.splits["train"]))], prepared.splits["train"]["rent"])
    weights = np.linalg.lstsq(x, y, rcond=None)[0]
    truth = prepared.splits["test"]["rent"]
    found = np.c_[features.transform(test), np.ones(len(truth))] @ weights
    assert 1 - ((found - truth) ** 2).mean() / truth.var() > 0.97


KINDS: dict[str, Literal["number", "category"]] = {"area": "number", "kind": "category"}
