"""A user's own CSV: errors are one line, and what was inferred is printed."""

import gzip
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pytest

from pipelines.house_prices import data as house_prices
from pipelines.titanic import data as titanic
from roadmap.data import tables
from roadmap.data.splits import PreparedData
from roadmap.data.tables import prepare_csv
from roadmap.inference.tabular import MAX_TEXT
from roadmap.inference.tabular.features import Features, from_frame
from roadmap.io.errors import UsageError

SHARES = (0.7, 0.15, 0.15)
ROWS = 60


def csv_of(
    header: str = "area,colour,price",
    row: Callable[[int], str] = lambda i: f"{i * 2},{['red', 'blue'][i % 2]},{i * 5.0}",
) -> str:
    return "\n".join([header, *(row(i) for i in range(1, ROWS + 1))]) + "\n"


@pytest.fixture
def prepare(tmp_path: Path) -> Callable[..., PreparedData]:
    def run(
        content: str | bytes, target: str = "price", task: Any = "regression", shares: Any = SHARES
    ) -> PreparedData:
        path = tmp_path / "mine.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return prepare_csv(str(path), target, task, shares, seed=1)

    return run


def whole(prepared: PreparedData) -> pd.DataFrame:
    return pd.concat(prepared.splits.values(), ignore_index=True)


REFUSED = {
    "empty": ("", "found nothing; expected a header and rows"),
    "header only": ("area,colour,price", "0 rows"),
    "too few rows": ("\n".join(csv_of().splitlines()[:20]), "19 rows .* at least 20"),
    "duplicate header": (csv_of("area,price,price"), "line 1: column 'price' appears more than once"),
    "no target column": (csv_of("area,colour,prize"), "line 1: no column 'price'; did you mean 'prize'"),
    "only the target": (csv_of("price", str), "no column beside the target 'price'"),
    "text target": (csv_of(row=lambda i: f"{i},red,{'?' if i == 33 else i}"), "numeric; data row 33 has '\\?'"),
    "text after gaps": (csv_of(row=lambda i: f"{i},,{i if i > 33 else '?' * (i > 9)}"), "data row 10 has '\\?'"),
    "infinite target": (csv_of(row=lambda i: f"{i},red,{'inf' if i == 7 else i}"), "'price' .*infinite"),
    "infinite value": (csv_of(row=lambda i: f"{'-inf' if i == 5 else i},red,{i}"), "'area' .*infinite"),
    "constant target": (csv_of(row=lambda i: f"{i},red,5"), "'price' has one value only, 5; nothing to learn"),
    "constant columns": (csv_of(row=lambda i: f"1,red,{i}"), "no column to learn from"),
    "Latin-1 header": (csv_of("area,größe,price").encode("latin-1"), "not UTF-8"),
    "Latin-1 far below": (csv_of(row=lambda i: f"{i},{'x' * 500 if i < 50 else 'é'},{i}").encode("latin-1"), "UTF-8"),
    "UTF-16": (csv_of().encode("utf-16"), "found UTF-16; expected UTF-8; save it as UTF-8"),
    "UTF-16 without a mark": (csv_of().encode("utf-16-le"), "found bytes 0 in the first line, as UTF-16 has"),
    "GBK": (csv_of(row=lambda i: f"{i},红,{i}").encode("gbk"), "found byte 0xba at 20; expected UTF-8"),
    "gzip": (gzip.compress(csv_of().encode()), "found gzip; expected UTF-8; unpack it"),
    "a workbook": (b"PK\x03\x04" + bytes(100), "found a ZIP archive or a workbook"),
    "names that blanks tell apart": (csv_of("area,area ,price"), "column 'area' appears more than once"),
    "a price with a currency": (csv_of(row=lambda i: f"{i},red,${i}"), "must be numeric; data row 1 has '\\$1'"),
    "open quote": (
        csv_of(row=lambda i: f"{i},{chr(34) * (i == 50)}red,{i}"),
        "line 61: is not CSV: a quote that opens in line 51 never closes",
    ),
    "a field too many": (csv_of(row=lambda i: f"{i},red,{i}{',9' * (i == 30)}"), "line 31"),
    "a field too many in every row": (csv_of(row=lambda i: f"{i},red,{i},{i}"), "header"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_an_unusable_csv_is_rejected_in_one_line(prepare: Callable[..., PreparedData], name: str) -> None:
    content, message = REFUSED[name]
    with pytest.raises(UsageError, match=message) as caught:
        prepare(content)
    assert "\n" not in str(caught.value)
    assert "mine.csv: " in str(caught.value) or name == "constant columns"


@pytest.mark.parametrize(
    ("levels", "message"), [(["yes"], "found 1: yes"), (["yes", "no", "maybe"], "two classes; found 3: maybe, no, yes")]
)
def test_a_classification_needs_two_classes(
    prepare: Callable[..., PreparedData], levels: list[str], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        prepare(csv_of(row=lambda i: f"{i},red,{levels[i % len(levels)]}"), task="binary")


def test_missing_files_and_folders_are_named(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.csv", tmp_path):
        with pytest.raises(UsageError, match=f"{path}: (no such file|is a directory)"):
            prepare_csv(str(path), "price", "regression", SHARES, 1)


def test_no_split_may_be_empty(prepare: Callable[..., PreparedData]) -> None:
    with pytest.raises(UsageError, match="val"):
        prepare(csv_of(), shares=(0.998, 0.001, 0.001))


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


@pytest.mark.parametrize("rare", [1, 2, 5])
def test_a_class_that_is_too_rare_is_rejected_by_name(prepare: Callable[..., PreparedData], rare: int) -> None:
    message = rf"class 'ja' is too rare: found {rare} of 60 rows; expected one in each of train, val, test"
    with pytest.raises(UsageError, match=message):
        prepare(csv_of(row=lambda i: f"{i * 2},red,{'ja' if i <= rare else 'nein'}"), task="binary")
    with pytest.raises(UsageError, match="has one value of 'price' only"):
        prepare(csv_of(row=lambda i: f"{i * 2},red,{5 + (i <= rare)}"))


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


@pytest.mark.parametrize("cell", ["1e31", "-1e31", "1e400"])
def test_a_number_above_the_request_limit_is_named_by_row(prepare: Callable[..., PreparedData], cell: str) -> None:
    with pytest.raises(UsageError, match=f"data row 7: 'area' is '{cell}'"):
        prepare(csv_of(row=lambda i: f"{cell if i == 7 else i * 2},red,{i}"))


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
HOUSE = house_prices.hedonic(30, 1)
BLOCK = {
    "longitude": -122.23, "latitude": 37.88, "housing_median_age": 41.0, "total_rooms": 880.0, "total_bedrooms": np.nan,
    "population": 322.0, "households": 126.0, "median_income": 8.3252, "median_house_value": 452600.0,
    "ocean_proximity": "NEAR BAY",
}  # fmt: skip
PASSENGER = {
    "Survived": 0, "Pclass": 3, "Name": "Braund, Mr. Owen Harris", "Sex": "male", "Age": 22.0, "SibSp": 1, "Parch": 0,
    "Ticket": "A/5 21171", "Fare": 7.25, "Cabin": None, "Embarked": "S",
}  # fmt: skip
SCHEMAS: dict[str, tuple[Any, pd.DataFrame]] = {
    "houses": (house_prices._schema("price"), HOUSE),
    "blocks": (house_prices._schema("median_house_value"), pd.DataFrame([BLOCK] * 30)),
    "people": (titanic._table_schema(), titanic.unusual_episode()),
    "passengers": (
        titanic._passenger_schema(),
        pd.DataFrame([{**PASSENGER, "PassengerId": i, "Cabin": "C85" if i else None} for i in range(30)]),
    ),
}


@pytest.mark.parametrize("name", SCHEMAS)
def test_valid_rows_pass_the_schemas(name: str) -> None:
    schema, frame = SCHEMAS[name]
    tables.validate(frame, schema, name)


@pytest.mark.parametrize(
    ("name", "column", "value", "rule"),
    [
        ("houses", "rooms", 99.0, r"99(\.0)? breaks the rule in_range\(1, 20\)"),
        ("houses", "district", "moon", r"'moon' breaks the rule isin\(.*harbour"),
        ("houses", "price", np.nan, "breaks the rule not_nullable"),
        ("houses", "area_m2", "wide", "'wide' breaks the rule coerce"),
        ("blocks", "households", 0.0, r"0(\.0)? breaks the rule greater_than\(0\)"),
        ("blocks", "longitude", 139.7, r"139\.7 breaks the rule in_range\(-125, -114\)"),
        ("people", "class", "4th", "'4th' breaks the rule isin"),
        ("people", "survived", 2, "2 breaks the rule isin"),
        ("passengers", "Age", 200.0, r"200(\.0)? breaks the rule in_range\(0, 110\)"),
        ("passengers", "Name", "Nobody", "'Nobody' breaks the rule str_contains"),
    ],
)
def test_an_invalid_row_is_named_by_row_column_value_and_rule(name: str, column: str, value: Any, rule: str) -> None:
    schema, frame = SCHEMAS[name]
    bad = frame.astype({column: object}) if isinstance(value, str) else frame.copy()
    bad.loc[16, column] = value
    with pytest.raises(UsageError, match=f"^the file: data row 17, column {column}: {'' if value != value else rule}"):
        tables.validate(bad, schema, "the file")


def test_a_duplicate_identity_and_a_missing_column_are_named() -> None:
    schema, frame = SCHEMAS["passengers"]
    with pytest.raises(UsageError, match="column PassengerId: 3 breaks the rule field_uniqueness"):
        tables.validate(frame.assign(PassengerId=frame["PassengerId"].replace(4, 3)), schema, "the file")
    with pytest.raises(UsageError, match="Fare"):
        tables.validate(frame.drop(columns="Fare"), schema, "the file")
