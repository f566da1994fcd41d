"""/invocations and /ping as MLflow's scoring servers have them: frames in, predictions out."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from serving.http.app import create_app
from serving.settings import Settings
from tests.support import bundles

PEOPLE: list[dict[str, Any]] = [
    {"class": "1st", "sex": "female", "age": "adult"},
    {"class": "crew", "sex": "male", "age": None},
]
SPLIT = {"columns": list(PEOPLE[0]), "data": [list(person.values()) for person in PEOPLE]}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    artifacts = bundles.make_all(tmp_path_factory.mktemp("artifacts"), {"titanic": bundles.titanic})
    with TestClient(create_app(Settings(bundles=str(artifacts)))) as client:
        yield client


@pytest.mark.parametrize(
    "body",
    [
        {"dataframe_split": SPLIT},
        {"dataframe_split": {**SPLIT, "index": [7, 8]}, "params": {}},
        {"dataframe_records": PEOPLE},
        {"instances": PEOPLE, "params": None},
    ],
)
def test_a_frame_is_answered_by_predictions(client: TestClient, body: Any) -> None:
    plain = client.post("/models/titanic/predict", json={"inputs": PEOPLE}).json()["outputs"]
    answer = client.post("/invocations", json=body)
    assert answer.status_code == 200, answer.text
    assert answer.json() == {"predictions": plain}


def test_what_pandas_writes_is_read(client: TestClient) -> None:
    import pandas as pd

    frame = pd.DataFrame(PEOPLE)
    split = {"dataframe_split": json.loads(frame.to_json(orient="split"))}
    records = {"dataframe_records": json.loads(frame.to_json(orient="records"))}
    assert client.post("/invocations", json=split).json() == client.post("/invocations", json=records).json()
    sent = client.post("/invocations", content=frame.to_csv(index=False), headers={"content-type": "text/csv"})
    assert len(sent.text.splitlines()) == 2 and client.get("/ping").status_code == 200


@pytest.mark.parametrize(
    ("body", "pointer", "said"),
    [
        ({"dataframe_split": 5}, "#/dataframe_split/columns", "list of names"),
        ({"dataframe_split": {"columns": ["age"]}}, "#/dataframe_split/data", "list of rows"),
        ({"dataframe_split": {"columns": ["age", "age"], "data": []}}, "#/dataframe_split/columns", "twice"),
        ({"dataframe_split": {"columns": ["age"], "data": [[]]}}, "#/dataframe_split/data/0", "1 values"),
        ({"dataframe_split": {"columns": ["age"], "data": []}}, "#/dataframe_split/data", "at least 1 item"),
        (
            {"dataframe_split": {"columns": ["sex", "age"], "data": [["male", 3]]}},
            "#/dataframe_split/data/0/1",
            "string",
        ),
        ({"dataframe_split": {"columns": ["agee"], "data": [["adult"]]}}, "#/dataframe_split/data/0/0", "known field"),
        ({"dataframe_records": {"age": "adult"}}, "#/dataframe_records", "list of rows"),
        ({"dataframe_records": [{}, {"age": 3}]}, "#/dataframe_records/1/age", "string"),
        ({"instances": [5]}, "#/instances/0", "JSON object"),
        ({"instances": PEOPLE, "params": {"a": 1}}, "#/params", "beside instances"),
        ({"instances": PEOPLE, "dataframe_records": PEOPLE}, "#/instances", "beside dataframe_records"),
    ],
)
def test_what_is_no_frame_is_named(client: TestClient, body: Any, pointer: str, said: str) -> None:
    answer = client.post("/invocations", json=body)
    assert answer.status_code == 422, answer.text
    (found,) = answer.json()["errors"]
    assert found["pointer"] == pointer and said in found["detail"]
