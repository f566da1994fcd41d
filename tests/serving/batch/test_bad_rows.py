"""Batch scoring: a row that cannot be scored goes to the error file, and the others are scored."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support import bundles
from tests.support.scoring import PEOPLE, many, read, write


def test_invalid_csv_rows_go_to_the_error_file(run: Callable[..., int], tmp_path: Path) -> None:
    lines = [
        b"area_m2,rooms,district",
        b"80,3,hills",
        b"eighty,3,hills",
        b"80,3",
        b'80,3,"two\nlines"',
        b"80,\xff,hills",
        b"1e39,3,hills",
        b'80,3,"stray" quote',
        b"90,3,hills",
    ]
    (tmp_path / "houses.csv").write_bytes(b"\n".join(lines))
    assert run("project=house_prices", "input=houses.csv", "output=out.csv") == 0
    assert [row["area_m2"] for row in read(tmp_path / "out.csv")] == ["80", "80", "80", "90"]
    aside = read(tmp_path / "out.csv.errors.jsonl")
    assert [(row["row"], row["line"]) for row in aside] == [(2, 3), (3, 4), (4, 6), (5, 7), (6, 8), (7, 9)]
    errors = [row for row in aside if "errors" in row]
    message = [(error["errors"][0]["pointer"], error["errors"][0]["detail"]) for error in errors]
    assert message[0] == ("#/area_m2", "should be a valid number") and errors[0]["values"]["area_m2"] == "eighty"
    assert "is not UTF-8" in message[1][1] and "should be less than or equal to 1000" in message[2][1]
    assert "expected after" in message[3][1]
    short, unseen = [row["warnings"] for row in aside if "warnings" in row]
    assert short == [{"pointer": "#", "detail": "has 2 cells where the header has 3: the others are gaps"}]
    assert unseen[0]["pointer"] == "#/district" and "was not seen in training" in unseen[0]["detail"]


def test_an_unseen_level_is_a_warning_or_an_error_if_strict(run: Callable[..., int], tmp_path: Path) -> None:
    write(tmp_path / "people.csv", [PEOPLE[0], {**PEOPLE[1], "sex": "Female"}])
    assert run("project=titanic", "input=people.csv", "output=out.csv") == 0
    assert len(read(tmp_path / "out.csv")) == 2
    [row] = read(tmp_path / "out.csv.errors.jsonl")
    detail = "'Female' was not seen in training: counts as an average row's; did you mean 'female'?"
    assert row["row"] == 2 and row["warnings"] == [{"pointer": "#/sex", "detail": detail}]
    assert run("project=titanic", "input=people.csv", "output=strict.csv", "strict=true") == 0
    assert len(read(tmp_path / "strict.csv")) == 1
    [row] = read(tmp_path / "strict.csv.errors.jsonl")
    assert row["errors"] == [{"pointer": "#/sex", "detail": detail}]


def test_invalid_json_lines_go_to_the_error_file(run: Callable[..., int], tmp_path: Path) -> None:
    image = json.dumps({"image": bundles.glyphs()[4].tolist()})
    lines = [image, "{", "[1]", '{"image": NaN}', "", '{"image": [[1]]}', "[" * 100_000, image]
    lines.insert(2, '{"image": [], "note": "\\ud800"}')
    (tmp_path / "digits.jsonl").write_text("\n".join(lines))
    assert run("project=mnist", "input=digits.jsonl", "output=out.jsonl") == 0
    assert [row["digit"] for row in read(tmp_path / "out.jsonl")] == [4, 4]
    errors = read(tmp_path / "out.jsonl.errors.jsonl")
    assert [error["row"] for error in errors] == [2, 3, 4, 5, 6, 7]
    assert "surrogates not allowed" in errors[1]["errors"][0]["detail"]
    assert errors[2]["errors"] == [{"pointer": "#", "detail": "should be a JSON object"}]
    assert errors[4]["errors"][0]["pointer"].startswith("#/image") and errors[4]["values"] == {"image": [[1]]}


def test_a_row_that_fails_does_not_fail_its_batch(
    run: Callable[..., int], artifacts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipelines.titanic.predict import Predictor

    real = Predictor.outputs

    def fragile(self: Any, inputs: Any) -> Any:
        if any(request.model_dump(by_alias=True)["sex"] == "bomb" for request in inputs):
            raise RuntimeError("boom")
        return real(self, inputs)

    monkeypatch.setattr(Predictor, "outputs", fragile)
    write(tmp_path / "people.csv", [PEOPLE[0], {**PEOPLE[1], "sex": "bomb"}, PEOPLE[2]])
    assert run("project=titanic", "input=people.csv", "output=out.csv") == 0
    assert [row["id"] for row in read(tmp_path / "out.csv")] == ["7", "9"]
    assert "RuntimeError: boom" in read(tmp_path / "out.csv.errors.jsonl")[0]["errors"][0]["detail"]


def test_no_scored_row_is_exit_code_3_without_output(run: Callable[..., int], tmp_path: Path, capsys: Any) -> None:
    write(tmp_path / "houses.csv", [{"area_m2": "?"}, {"area_m2": "!"}])
    assert run("project=house_prices", "input=houses.csv", "output=out.csv") == 3
    assert "no row was scored" in capsys.readouterr().err
    assert len(read(tmp_path / "out.csv.errors.jsonl")) == 2 and not (tmp_path / "out.csv").exists()
    (tmp_path / "empty.csv").write_text("area_m2,rooms\n")
    assert run("project=house_prices", "input=empty.csv", "output=empty.out.csv") == 3


def test_too_many_errors_stop_and_a_higher_limit_resumes(run: Callable[..., int], tmp_path: Path, capsys: Any) -> None:
    many(tmp_path / "people.csv", 3000)  # five of them bad
    arguments = ("project=titanic", "input=people.csv", "output=out.csv", "rows=512")
    assert run(*arguments, "max_errors=2") == 1
    assert "max_errors=2" in capsys.readouterr().err and not (tmp_path / "out.csv").exists()
    assert run(*arguments, "max_errors=5") == 0
    assert "goes on behind row" in capsys.readouterr().out
    assert len(read(tmp_path / "out.csv")) == 2995
