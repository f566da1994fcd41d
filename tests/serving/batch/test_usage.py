"""Batch scoring: what the caller did wrong is one line, and leaves no file."""

import gzip
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from serving.batch.__main__ import main
from tests.support.scoring import PEOPLE, many, write


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["project=titanic", "input=none.csv"], r"none\.csv: no such file"),
        (["project=titanik"], r"no such model in .*did you mean 'titanic'"),
        (["project=titanic", "input=people.txt"], r"people\.txt: cannot tell the format.*\.parquet"),
        (["project=titanic", "output=out.csv.gz"], r"out\.csv\.gz: cannot tell the format"),
        (["project=titanic", "output=no/out.csv"], r"no: no such folder"),
        (["project=mnist"], r"no column 'image', which mnist needs"),
        (["project=house_prices"], r"no column is a field of house_prices"),
        (["project=titanic", "colour=blue"], r"colour: unknown option"),
        (["project=titanic", "outptu=x"], r"outptu: unknown option; did you mean 'output'"),
        (["project=titanic", "rows=0"], r"rows: found '0'; expected greater than 0"),
        (["project=titanic", "keep=perhaps"], r"keep: found 'perhaps'; expected a valid boolean"),
        (["--project", "titanic"], r"'--project': found no '='"),
        ([], r"project: missing"),
        (["project=titanic", "input=broken.parquet"], r"broken\.parquet: can't be read as Parquet"),
        (["project=titanic", "input=twice.csv"], r"column 'age' appears more than once"),
        (["project=titanic", "input=nothing.csv"], r"nothing\.csv: is empty"),
        (["project=titanic", "input=colon.csv"], r"are the cells separated by commas"),
    ],
)
def test_usage_errors_are_one_helpful_line(
    run: Callable[..., int], tmp_path: Path, capsys: Any, arguments: list[str], message: str
) -> None:
    write(tmp_path / "people.csv", PEOPLE)
    for name in ("people.txt", "broken.parquet"):
        (tmp_path / name).write_text("?")
    (tmp_path / "twice.csv").write_text("age,age\n1,2\n")
    (tmp_path / "nothing.csv").write_text("")
    (tmp_path / "colon.csv").write_text("class:sex:age\n1st:male:adult\n")
    before = sorted(tmp_path.iterdir())
    assert run("input=people.csv", "output=out.csv", *arguments) == 2
    found = capsys.readouterr().err
    assert re.search(message, found) and found.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before


def test_a_misspelt_column_is_reported(run: Callable[..., int], tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "people.csv").write_text("class,Sex,age\n1st,male,adult\n")
    assert run("project=titanic", "input=people.csv", "output=out.csv") == 0
    assert "column 'Sex' is not a field; is 'sex' meant?" in capsys.readouterr().err


def test_a_damaged_archive_is_one_line(run: Callable[..., int], tmp_path: Path, capsys: Any) -> None:
    content = gzip.compress(many(tmp_path / "people.csv", 2000).read_bytes())
    (tmp_path / "people.csv.gz").write_bytes(content[: len(content) // 2])
    assert run("project=titanic", "input=people.csv.gz", "output=out.csv") == 1
    assert "people.csv.gz: is damaged" in capsys.readouterr().err and not (tmp_path / "out.csv").exists()


def test_a_full_disk_is_one_line(run: Callable[..., int], tmp_path: Path, half: tuple[str, ...], capsys: Any) -> None:
    part = json.loads((tmp_path / "out.csv.partial" / "state.json").read_text())["parts"]
    (tmp_path / "out.csv.partial" / f"{part:08}.csv").symlink_to("/dev/full")
    assert run(*half) == 1
    message = capsys.readouterr().err
    assert "No space left on device" in message and "goes on" in message and not (tmp_path / "out.csv").exists()


def test_help_names_every_option_and_exit_code(capsys: Any) -> None:
    assert main(["--help"]) == 0
    message = capsys.readouterr().out
    assert all(word in message for word in ("project=", "max_errors=", "restart=", "Exit codes: 0", "3 no row"))
