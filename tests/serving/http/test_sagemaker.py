"""SageMaker's contract over HTTP: what its endpoints and batch transform require."""

import csv
import io
import json
import math
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from serving.http.app import create_app
from serving.settings import Settings
from tests.support import bundles

PEOPLE = [
    {"class": "1st", "sex": "female", "age": "adult"},
    {"class": "3rd", "sex": "male", "age": "child"},
    {"class": "crew", "sex": "male", "age": None},
]
ROWS = "1st,female,adult\n3rd,male,child\ncrew,male,\n"
LINES = "".join(json.dumps(person) + "\n" for person in PEOPLE)


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundles.make_all(tmp_path_factory.mktemp("artifacts"))


@contextmanager
def serving(artifacts: Path, project: str) -> Iterator[TestClient]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MODEL_PROJECT", project)
        app = create_app(Settings(bundles=str(artifacts)))
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


@pytest.fixture(scope="module")
def titanic(artifacts: Path) -> Iterator[TestClient]:
    with serving(artifacts, "titanic") as client:
        yield client


@pytest.fixture(scope="module")
def expected(titanic: TestClient) -> list[dict[str, Any]]:
    outputs: list[dict[str, Any]] = titanic.post("/models/titanic/predict", json={"inputs": PEOPLE}).json()["outputs"]
    return outputs


def invoke(client: TestClient, body: str | bytes, kind: str, accept: str = "*/*", **headers: str) -> Any:
    return client.post("/invocations", content=body, headers={"content-type": kind, "accept": accept, **headers})


def problem(response: Any, status: int) -> str:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    detail: str = response.json()["detail"]
    return detail


def from_csv(text: str) -> list[dict[str, Any]]:
    return [{"label": label, "probability": float(p)} for label, p in csv.reader(io.StringIO(text))]


def test_json_keeps_the_shape_of_the_request(titanic: TestClient, expected: list[Any]) -> None:
    batch = invoke(titanic, json.dumps({"inputs": PEOPLE}), "application/json").json()
    assert batch == titanic.post("/models/titanic/predict", json={"inputs": PEOPLE}).json()
    assert invoke(titanic, json.dumps(PEOPLE), "application/json; charset=utf-8").json() == expected
    assert invoke(titanic, json.dumps(PEOPLE[1]), "application/json").json() == expected[1]


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/jsonlines", LINES),
        ("application/jsonlines", LINES.rstrip("\n")),
        ("application/jsonlines", LINES.replace("\n", "\r\n\r\n")),
        ("text/csv", ROWS),
        ("text/csv", ROWS.rstrip("\n")),
        ("text/csv", "\ufeff" + ROWS.replace("\n", "\r\n")),
        ("text/csv", "sex,age,class\nfemale,adult,1st\nmale,child,3rd\nmale,,crew\n"),
        ("text/csv; header=present", "sex,age,class\nfemale,adult,1st\nmale,child,3rd\nmale,,crew\n"),
        ("Text/CSV; charset=UTF-8; header=absent", ROWS),
    ],
)
def test_lines_are_answered_in_order(titanic: TestClient, expected: list[Any], kind: str, body: str) -> None:
    as_lines = invoke(titanic, body, kind, "application/jsonlines")
    assert as_lines.headers["content-type"] == "application/jsonlines"
    assert [json.loads(line) for line in as_lines.text.splitlines()] == expected
    as_csv = invoke(titanic, body, kind, "text/csv")
    assert as_csv.headers["content-type"].partition(";")[0] == "text/csv"
    assert from_csv(as_csv.text) == expected
    assert invoke(titanic, body, kind, "application/json").json()["outputs"] == expected


def test_csv_responses_may_have_a_header(titanic: TestClient) -> None:
    answer = invoke(titanic, ROWS, "text/csv", "text/csv; header=present")
    assert answer.text.splitlines()[0] == "label,probability"


@pytest.mark.parametrize(
    ("accept", "sent", "answered"),
    [
        ("", "text/csv", "text/csv"),
        ("*/*", "application/jsonlines", "application/jsonlines"),
        ("application/*", "text/csv", "application/json"),
        ("text/csv;q=0.5, application/json", "text/csv", "application/json"),
        ("application/json;q=0, */*;q=0.1", "text/csv", "text/csv"),
        ("image/png, text/*;q=0.2", "application/jsonlines", "text/csv"),
    ],
)
def test_the_accept_header_decides(titanic: TestClient, accept: str, sent: str, answered: str) -> None:
    body = ROWS if sent == "text/csv" else LINES
    assert invoke(titanic, body, sent, accept).headers["content-type"].partition(";")[0] == answered


def test_numeric_tables(artifacts: Path) -> None:
    house = {"area_m2": 100, "rooms": 4, "age_years": 20, "distance_km": 5, "district": "hills"}
    with serving(artifacts, "house_prices") as client:
        expected = client.post("/models/house_prices/predict", json={"inputs": [house]}).json()["outputs"]
        body = ",".join(house) + "\n" + ",".join(map(str, house.values())) + "\n"
        assert invoke(client, body, "text/csv", "application/json").json()["outputs"] == expected
        detail = problem(invoke(client, body.replace("100", "much"), "text/csv"), 422)
        assert detail == "line 2/area_m2: should be a valid number"


def test_nested_outputs_are_json_in_a_cell(artifacts: Path) -> None:
    image = json.dumps(bundles.glyphs()[3].tolist())
    with serving(artifacts, "mnist") as client:
        digit, probabilities = next(csv.reader([invoke(client, f'"{image}"\n', "text/csv").text]))
        assert (digit, len(json.loads(probabilities))) == ("3", 10)


@pytest.mark.parametrize(
    ("kind", "file", "accept"),
    [("text/csv", ROWS * 200, "text/csv"), ("application/jsonlines", LINES * 200, "application/jsonlines")],
)
@pytest.mark.parametrize("size", [1, 7, 600])
def test_a_file_split_by_line_and_assembled(
    titanic: TestClient, expected: list[Any], kind: str, file: str, accept: str, size: int
) -> None:
    """SplitType=Line, AssembleWith=Line: single records, mini-batches of records, and the whole file."""
    lines = file.splitlines(keepends=True)[: 30 if size == 1 else None]
    parts = ["".join(lines[start : start + size]) for start in range(0, len(lines), size)]
    whole = "".join(invoke(titanic, part, kind, accept).text for part in parts)
    answers = from_csv(whole) if kind == "text/csv" else [json.loads(line) for line in whole.splitlines()]
    assert answers == expected * (len(lines) // 3)
    assert whole.endswith("\n")


def test_more_lines_than_the_json_limit(titanic: TestClient) -> None:
    people = 30_000
    answer = invoke(titanic, "1st,female,adult\n" * people, "text/csv")
    assert (answer.status_code, len(answer.text.splitlines())) == (200, people)


def test_batch_transforms_execution_parameters(titanic: TestClient) -> None:
    assert titanic.get("/execution-parameters").json() == {
        "MaxConcurrentTransforms": Settings().threads,
        "MaxPayloadInMB": 6,
        "BatchStrategy": "MULTI_RECORD",
    }


@pytest.mark.parametrize(
    ("body", "kind", "status", "message"),
    [
        ("{}", "application/xml", 415, "application/json, application/jsonlines, text/csv"),
        ("{}", "", 415, "without a content type"),
        (ROWS, "text/csv; charset=gbk", 415, "UTF-8"),
        ("{", "application/json", 400, "not JSON"),
        ("", "application/json", 400, "not JSON"),
        ("[" * 100_000, "application/json", 400, "not JSON"),
        ("[]", "application/json", 422, ""),
        ("3", "application/json", 422, "JSON object"),
        ('{"inputs": 3}', "application/json", 422, "inputs"),
        ('[{"age": "adult"}, {"age": 3}]', "application/json", 422, "1/age: should be a valid string"),
        ('{"age": 3}', "application/json", 422, "age: should be a valid string"),
        ('{"age": "adult"}\n{"age": 3}\n', "application/jsonlines", 422, "line 2/age: should be a valid string"),
        ('{"age": "adult"}\n{"age"\n', "application/jsonlines", 422, "line 2: is not JSON"),
        ("", "application/jsonlines", 422, "no line"),
        ("", "text/csv", 422, "no line"),
        ("class,sex,age\n", "text/csv", 422, "no line"),
        ("class,sex,agee\n1st,male,adult\n", "text/csv", 422, "did you mean 'age'"),
        ("1st,female,adult\n1st,female\n", "text/csv", 422, "line 2: has 2 values for the 3 columns class, sex, age"),
        ('1st,female,"adult\n', "text/csv", 422, "is not CSV"),
        (b"1st,female,\xff\n", "text/csv", 400, "UTF-8"),
    ],
)
def test_an_invalid_invocation_is_a_problem(
    titanic: TestClient, body: str | bytes, kind: str, status: int, message: str
) -> None:
    assert message in problem(invoke(titanic, body, kind), status)


@pytest.mark.parametrize("accept", ["image/png", "application/json;q=0", "text/csv;q=x"])
def test_an_unsupported_accept_is_406(titanic: TestClient, accept: str) -> None:
    assert "text/csv" in problem(invoke(titanic, ROWS, "text/csv", accept), 406)


def test_a_prediction_that_is_not_finite_is_422(artifacts: Path) -> None:
    with serving(artifacts, "house_prices") as client:
        app: Any = client.app
        [model] = [one for one in app.state.store.ready() if one.name == "house_prices"]
        predict = model.predictor.predict
        model.predictor.predict = lambda inputs: [
            answer.model_copy(update={"prediction": math.inf}) if request.column_0 == 666 else answer
            for request, answer in zip(inputs, predict(inputs), strict=True)
        ]
        body = "100,4,20,5,hills\n" * 300 + "666,4,20,5,hills\n"
        assert problem(invoke(client, body, "text/csv"), 422).startswith("after 256 inputs: inputs/44: ")


def test_custom_attributes_and_lineage_are_in_the_headers(titanic: TestClient) -> None:
    headers = {"X-Amzn-SageMaker-Custom-Attributes": "trace=4711"}
    answer = invoke(titanic, ROWS, "text/csv", **headers)
    assert answer.headers["X-Amzn-SageMaker-Custom-Attributes"] == "trace=4711"
    assert answer.headers["X-Model"] == "titanic"
    assert "X-Amzn-SageMaker-Custom-Attributes" not in invoke(titanic, ROWS, "text/csv").headers


def test_a_single_project_needs_no_name(artifacts: Path, tmp_path: Path) -> None:
    shutil.copytree(artifacts / "titanic", tmp_path / "titanic")
    with TestClient(create_app(Settings(bundles=str(tmp_path)))) as client:
        assert client.get("/ping").json()["name"] == "titanic"


def test_several_projects_need_a_name(artifacts: Path) -> None:
    with TestClient(create_app(Settings(bundles=str(artifacts)))) as client:
        for response in (client.get("/ping"), invoke(client, ROWS, "text/csv")):
            assert "house_prices, mnist, titanic; set MODEL_PROJECT" in problem(response, 404)


def test_ping_is_200_only_if_the_model_is_loaded(artifacts: Path, tmp_path: Path) -> None:
    own = Path(shutil.copytree(artifacts, tmp_path / "artifacts"))
    (own / "titanic" / "bundle" / "model.onnx").write_bytes(b"changed")
    with serving(own, "titanic") as client:
        assert "model.onnx" in problem(client.get("/ping"), 503)
        problem(invoke(client, ROWS, "text/csv"), 503)
    with serving(own, "titanik") as client:
        problem(client.get("/ping"), 404)
