"""For every project of params.yaml: every entry point gives the outputs of the project's predictor.

Only rounding may differ. Entry points batch requests differently, and on some processors the last digits of a float32
sum depend on the rest of the batch; so numbers must be equal to `RELATIVE`, or, since some outputs are rounded to five
digits, to `ABSOLUTE`. Everything else, generated text included, must be identical.
"""

import json
import math
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml
from fastapi.testclient import TestClient

from roadmap.bundle import Bundle, load_predictor
from roadmap.project import load_project
from serving.batch.__main__ import main
from serving.http.app import create_app
from serving.http.kserve.tensors import columns
from serving.runtime.cells import csv_from_rows
from serving.settings import Settings
from tests.standins.aws.aws_lambda.runtime import Function
from tests.support.checkouts import ROOT, Checkout, environment

PROJECTS = list(yaml.safe_load((ROOT / "params.yaml").read_text())["projects"])
RELATIVE, ABSOLUTE = 1e-6, 2e-5
ROWS = 20  # of the test split, beside the bundle's example

pytestmark = pytest.mark.slow

Rows = list[dict[str, Any]]


class Place:
    """The checkout with all trained projects, and what several entry points share."""

    def __init__(self, checkout: Checkout, folder: Path, server: httpx2.Client, function: Function) -> None:
        self.checkout, self.folder, self.server, self.function = checkout, folder, server, function
        self.artifacts = checkout.path("artifacts")

    def batch(self, project: str, source: Path, output: Path) -> Path:
        given = (f"bundles={self.artifacts}", f"project={project}", f"input={source}", f"output={output}", "keep=false")
        assert main(list(given)) == 0
        return output


@pytest.fixture(scope="module")
def place(reproduced: Checkout, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    command = [sys.executable, "-m", "serving", "--port", "0"]
    server = subprocess.Popen(
        command, cwd=reproduced.folder, env=environment(), text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert server.stdout
    address = next(line.split()[1] for line in server.stdout if line.startswith("page "))
    try:
        with httpx2.Client(base_url=address, timeout=60) as client, Function(reproduced.folder, 60) as function:
            yield Place(reproduced, tmp_path_factory.mktemp("parity"), client, function)
    finally:
        server.terminate()
        server.communicate()


# ---------------------------------------------------------------- the doors: requests in, outputs out


def http(place: Place, project: str, requests: Rows) -> Rows:
    answer = place.server.post(f"/models/{project}/predict", json={"inputs": requests})
    assert answer.status_code == 200, answer.text
    return answer.json()["outputs"]


def http_one_by_one(place: Place, project: str, requests: Rows) -> Rows:
    return [output for request in requests for output in http(place, project, [request])]


def kserve(place: Place, project: str, requests: Rows) -> Rows:
    answer = place.server.post(f"/v2/models/{project}/infer", json={"inputs": columns(requests, [])})
    assert answer.status_code == 200, answer.text
    tensors = {tensor["name"]: tensor for tensor in answer.json()["outputs"]}
    return [{name: element(tensor, row) for name, tensor in tensors.items()} for row in range(len(requests))]


def element(tensor: dict[str, Any], row: int) -> Any:
    """Decodes JSON of values that are not tensors, and of all of a column that has nulls."""
    size = math.prod(tensor["shape"][1:])
    values = tensor["data"][row * size : (row + 1) * size]
    for length in reversed(tensor["shape"][2:]):
        values = [values[start : start + length] for start in range(0, len(values), length)]
    value = values if len(tensor["shape"]) > 1 else values[0]
    encoded = isinstance(value, str) and ("null" in tensor["data"] or value[:1] in ("[", "{"))
    return json.loads(value) if encoded else value


def sagemaker(place: Place, project: str, requests: Rows) -> Rows:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MODEL_PROJECT", project)
        app = create_app(Settings(bundles=str(place.artifacts), load="lazy"))
    with TestClient(app) as client:
        lines = "".join(json.dumps(request) + "\n" for request in requests)
        answer = client.post("/invocations", content=lines, headers={"content-type": "application/jsonlines"})
    assert answer.status_code == 200, answer.text
    return [json.loads(line) for line in answer.text.splitlines()]


def aws_lambda(place: Place, project: str, requests: Rows) -> Rows:
    http = {"method": "POST", "path": f"/models/{project}/predict", "protocol": "HTTP/1.1", "sourceIp": "203.0.113.7"}
    event = {
        "version": "2.0",
        "rawPath": http["path"],
        "rawQueryString": "",
        "headers": {"content-type": "application/json"},
        "requestContext": {"http": http, "stage": "$default"},
        "body": json.dumps({"inputs": requests}),
        "isBase64Encoded": False,
    }
    answer = place.function.invoke(event, timeout=60)
    assert answer["statusCode"] == 200, answer
    return json.loads(answer["body"])["outputs"]


def batch_of_json_lines(place: Place, project: str, requests: Rows) -> Rows:
    source = place.folder / f"{project}.jsonl"
    source.write_text("".join(json.dumps(request) + "\n" for request in requests))
    scored = place.batch(project, source, place.folder / f"{project}.scored.jsonl")
    return [without_number(json.loads(line)) for line in scored.read_text().splitlines()]


def batch_from_csv_to_parquet(place: Place, project: str, requests: Rows) -> Rows:
    import pyarrow.parquet as pq

    source = place.folder / f"{project}.csv"
    names = list(dict.fromkeys(name for request in requests for name in request))
    rows = [{name: request.get(name) for name in names} for request in requests]
    source.write_text(csv_from_rows(rows, header=True), newline="")
    scored = place.batch(project, source, place.folder / f"{project}.scored.parquet")
    return [without_number(row) for row in pq.read_table(scored).to_pylist(maps_as_pydicts="strict")]


def without_number(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "row"}


def mlflow_pyfunc(place: Place, project: str, requests: Rows) -> Rows:
    import mlflow
    import pandas as pd

    from roadmap.promotion.pyfunc import plain

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place.checkout.folder)
        mlflow.set_tracking_uri(f"sqlite:///{place.checkout.folder}/mlflow.db")
        model = mlflow.pyfunc.load_model(f"models:/{project}@champion")
        # In a table every row has every column: requests with other fields are a separate table.
        tables = [pd.DataFrame(list(some)) for _, some in groupby(requests, key=list)]
        rows = [row for table in tables for row in model.predict(table).to_dict("records")]
    return [{name: plain(value) for name, value in row.items()} for row in rows]


DOORS: dict[str, Callable[[Place, str, Rows], Rows]] = {
    "HTTP": http,
    "HTTP, one by one": http_one_by_one,
    "KServe": kserve,
    "SageMaker": sagemaker,
    "Lambda": aws_lambda,
    "batch, JSON Lines": batch_of_json_lines,
    "batch, CSV to Parquet": batch_from_csv_to_parquet,
    "MLflow": mlflow_pyfunc,
}


@pytest.fixture(scope="module", params=PROJECTS)
def case(request: pytest.FixtureRequest, place: Place) -> tuple[str, Rows, Rows]:
    """A project, requests, and its predictor's outputs."""
    project = request.param
    bundle = Bundle(place.artifacts / project / "bundle")
    rows, _ = load_project(project).data.test_rows(place.checkout.path("data", project))
    requests = [*bundle.example, *rows[:ROWS]]
    predictor = load_predictor(bundle)
    outputs = predictor.predict([predictor.Request.model_validate(one) for one in requests])
    return project, requests, [output.model_dump(mode="json") for output in outputs]


@pytest.mark.parametrize("door", DOORS)
def test_every_entry_point_gives_the_predictors_outputs(place: Place, case: tuple[str, Rows, Rows], door: str) -> None:
    project, requests, expected = case
    answers = DOORS[door](place, project, requests)
    assert len(answers) == len(expected)
    for number, (answer, output) in enumerate(zip(answers, expected, strict=True)):
        assert not (found := differences(answer, output, f"output {number}")), "\n".join(found[:10])


def differences(found: Any, expected: Any, where: str) -> list[str]:
    if isinstance(expected, dict) and isinstance(found, dict) and found.keys() == expected.keys():
        return [one for name in expected for one in differences(found[name], expected[name], f"{where}, {name}")]
    if isinstance(expected, list) and isinstance(found, list) and len(found) == len(expected):
        pairs = enumerate(zip(found, expected, strict=True))
        return [one for place, (a, b) in pairs for one in differences(a, b, f"{where}, {place}")]
    if isinstance(expected, float) and isinstance(found, int | float) and not isinstance(found, bool):
        same = math.isclose(found, expected, rel_tol=RELATIVE, abs_tol=ABSOLUTE)
    else:
        same = type(found) is type(expected) and found == expected
    return [] if same else [f"{where}: {found!r}, and the predictor says {expected!r}"]
