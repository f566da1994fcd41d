"""A user's own CSV that is of no use: one line says where and why."""

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest

from roadmap.data.splits import PreparedData
from roadmap.data.tables import prepare_csv
from roadmap.io.errors import UsageError
from tests.support.tables import SHARES, csv_of

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


@pytest.mark.parametrize("rare", [1, 2, 5])
def test_a_class_that_is_too_rare_is_rejected_by_name(prepare: Callable[..., PreparedData], rare: int) -> None:
    message = rf"class 'ja' is too rare: found {rare} of 60 rows; expected one in each of train, val, test"
    with pytest.raises(UsageError, match=message):
        prepare(csv_of(row=lambda i: f"{i * 2},red,{'ja' if i <= rare else 'nein'}"), task="binary")
    with pytest.raises(UsageError, match="has one value of 'price' only"):
        prepare(csv_of(row=lambda i: f"{i * 2},red,{5 + (i <= rare)}"))


@pytest.mark.parametrize("cell", ["1e31", "-1e31", "1e400"])
def test_a_number_above_the_request_limit_is_named_by_row(prepare: Callable[..., PreparedData], cell: str) -> None:
    with pytest.raises(UsageError, match=f"data row 7: 'area' is '{cell}'"):
        prepare(csv_of(row=lambda i: f"{cell if i == 7 else i * 2},red,{i}"))
