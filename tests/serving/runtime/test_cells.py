"""Text cells are converted to the types of a request's fields."""

import io
import math
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, create_model

from serving.runtime.cells import Columns, TableError, csv_from_rows, rows_from_csv


class Person(BaseModel):
    cls: Annotated[str, Field(alias="class")]
    age: Annotated[float, Field(strict=True, allow_inf_nan=False)] | None = None
    siblings: Annotated[int, Field(strict=True)] | None = None
    alone: Annotated[bool, Field(strict=True)] = False
    tags: list[str] = []


def rows(text: str, header: bool | None = None, request: type[BaseModel] = Person) -> list[Any]:
    return [fields for _, fields in rows_from_csv(io.StringIO(text, newline=""), Columns(request), header)]


def test_cells_get_their_fields_type_and_gaps_its_default() -> None:
    text = 'class,age,siblings,alone,tags\n1st,29.5,2,TRUE,"[""a"", ""b""]"\n3,.5,3.0,false,\n crew ,,,,\n'
    assert rows(text) == [
        {"class": "1st", "age": 29.5, "siblings": 2, "alone": True, "tags": ["a", "b"]},
        {"class": "3", "age": 0.5, "siblings": 3, "alone": False},
        {"class": "crew "},
    ]
    assert [Person.model_validate(one).age for one in rows(text)] == [29.5, 0.5, None]


@pytest.mark.parametrize("cell", ["abc", "nan", "inf", "1_000", "0x10", "1,5", "٣", "1e999", "9" * 5000])
def test_invalid_numbers_are_left_to_validation(cell: str) -> None:
    [fields] = rows(f'class,age\n1st,"{cell}"\n')
    with pytest.raises(ValueError, match="age"):
        Person.model_validate(fields)


def test_without_a_header_cells_are_all_or_the_required_fields() -> None:
    assert rows("1st,30,0,true,\ncrew\n") == [
        {"class": "1st", "age": 30, "siblings": 0, "alone": True},
        {"class": "crew"},
    ]
    [error] = rows("1st,30\n")
    assert isinstance(error, TableError)
    assert str(error) == "has 2 values for the 5 columns class, age, siblings, alone, tags"


def test_a_header_is_detected_or_declared() -> None:
    assert rows(" class ,age\n1st,1\n") == [{"class": "1st", "age": 1}]
    assert rows("class\n", header=False) == [{"class": "class"}]
    assert rows("class\n") == []
    with pytest.raises(TableError, match="no column is named 'agee'; did you mean 'age'"):
        rows("class,agee\n1st,1\n")
    with pytest.raises(TableError, match="no column is named '1st'"):
        rows("1st\n", header=True)
    with pytest.raises(TableError, match="'age' appears twice"):
        rows("class,age,age\n1st,1,2\n")


def test_a_malformed_line_does_not_lose_the_following_ones() -> None:
    text = 'class\n"one\ntwo"\n"a"b\n\n3rd\n"open\n'
    found = list(rows_from_csv(io.StringIO(text, newline=""), Columns(Person)))
    assert [line for line, _ in found] == [3, 4, 6, 7]
    assert [fields for _, fields in found if isinstance(fields, dict)] == [{"class": "one\ntwo"}, {"class": "3rd"}]
    assert all(isinstance(found[index][1], TableError) for index in (1, 3))


def test_outputs_are_lines() -> None:
    answers = [{"label": 'a "b", c', "p": 0.1, "ok": True, "gap": None, "all": {"x": [1, 2]}}]
    assert csv_from_rows(answers, header=True) == ('label,p,ok,gap,all\n"a ""b"", c",0.1,true,,"{""x"": [1, 2]}"\n')
    assert csv_from_rows(answers).count("\n") == 1


Text = create_model("Text", text=(str, ...), number=(float | None, None))


@given(text=st.text(st.characters(codec="utf-8"), min_size=1).filter(str.strip), number=st.floats(allow_nan=False))
def test_written_rows_are_read_back(text: str, number: float) -> None:
    text = text.lstrip(" ")
    written = csv_from_rows([{"text": text, "number": number if math.isfinite(number) else None}])
    [fields] = rows(written, header=False, request=Text)
    assert Text.model_validate(fields).model_dump() == {
        "text": text,
        "number": number if math.isfinite(number) else None,
    }
