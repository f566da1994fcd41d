"""The Lambda function under AWS's runtime client, with events of API Gateway and the load balancer."""

import base64
import gzip
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from roadmap.bundle import Bundle, load_predictor, write_manifest
from tests.standins.aws.aws_lambda.runtime import ROOT, Function, FunctionError
from tests.support import bundles
from tests.support.waiting import until

JSON = {"content-type": "application/json"}
Event = dict[str, Any]


def http_api(path: str, body: str | None, headers: dict[str, str], method: str = "POST") -> Event:
    """API Gateway, payload format 2.0, which function URLs send too."""
    http = {"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "203.0.113.7", "userAgent": "test"}
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": "",
        "headers": headers,
        "requestContext": {"http": http, "requestId": "JKJaXmPLvHcESHA=", "stage": "$default"},
        "body": body,
        "isBase64Encoded": False,
    }


def rest_api(path: str, body: str | None, headers: dict[str, str], method: str = "POST") -> Event:
    """API Gateway, payload format 1.0."""
    return {
        "resource": "/{proxy+}",
        "path": path,
        "httpMethod": method,
        "headers": headers,
        "multiValueHeaders": {name: [value] for name, value in headers.items()},
        "queryStringParameters": None,
        "multiValueQueryStringParameters": None,
        "requestContext": {"stage": "prod", "identity": {"sourceIp": "203.0.113.7"}, "httpMethod": method},
        "body": body,
        "isBase64Encoded": False,
    }


def load_balancer(path: str, body: str | None, headers: dict[str, str], method: str = "POST") -> Event:
    return {
        "requestContext": {
            "elb": {"targetGroupArn": "arn:aws:elasticloadbalancing:eu-central-1:123:targetgroup/models/1"}
        },
        "httpMethod": method,
        "path": path,
        "queryStringParameters": {},
        "headers": {"x-forwarded-for": "203.0.113.7", **headers},
        "body": body or "",
        "isBase64Encoded": False,
    }


def multi_value(path: str, body: str | None, headers: dict[str, str], method: str = "POST") -> Event:
    """A load balancer whose target group has lambda.multi_value_headers.enabled."""
    event = load_balancer(path, body, {}, method)
    del event["queryStringParameters"], event["headers"]
    return event | {
        "multiValueQueryStringParameters": {},
        "multiValueHeaders": {name: [value] for name, value in headers.items()},
    }


DOORS = [http_api, rest_api, load_balancer, multi_value]


@pytest.fixture(scope="module")
def task_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("task")
    bundles.make_all(folder / "artifacts")
    return folder


@pytest.fixture(scope="module")
def function(task_root: Path) -> Iterator[Function]:
    with Function(task_root, MODEL_PROJECT="titanic") as function:
        yield function


def content(answer: Any) -> Any:
    body = base64.b64decode(answer["body"]) if answer["isBase64Encoded"] else answer["body"]
    return json.loads(body)


def problem(answer: Any, status: int) -> dict[str, Any]:
    assert answer["statusCode"] == status, answer
    headers = answer.get("headers") or {name: values[0] for name, values in answer["multiValueHeaders"].items()}
    assert headers["content-type"] == "application/problem+json"
    assert answer["isBase64Encoded"] is False  # to be read in the console's log too
    found = json.loads(answer["body"])
    assert found["status"] == status and found["detail"] and "Traceback" not in answer["body"]
    return found


@pytest.mark.parametrize("project", sorted(bundles.MAKERS))
@pytest.mark.parametrize("door", DOORS)
def test_every_entry_point_gives_the_predictors_outputs(
    function: Function, task_root: Path, door: Callable[..., Event], project: str
) -> None:
    bundle = Bundle(task_root / "artifacts" / project / "bundle")
    predictor = load_predictor(bundle)
    expected = predictor.predict([predictor.Request.model_validate(one) for one in bundle.example])
    answer = function.invoke(door(f"/models/{project}/predict", json.dumps({"inputs": bundle.example}), JSON))
    assert answer["statusCode"] == 200
    assert content(answer)["outputs"] == [one.model_dump(mode="json") for one in expected]


def test_compressed_request_and_response(function: Function) -> None:
    packed = gzip.compress(json.dumps({"inputs": [{"sex": "female"}] * 200}).encode())
    headers = {**JSON, "content-encoding": "gzip", "accept-encoding": "gzip"}
    event = http_api("/models/titanic/predict", base64.b64encode(packed).decode(), headers) | {"isBase64Encoded": True}
    answer = function.invoke(event)
    assert (answer["statusCode"], answer["headers"]["content-encoding"]) == (200, "gzip")
    assert answer["isBase64Encoded"] is True
    assert len(json.loads(gzip.decompress(base64.b64decode(answer["body"])))["outputs"]) == 200


def test_a_load_balancer_with_multi_value_headers_gets_them_back(function: Function) -> None:
    headers = {**JSON, "X-Request-ID": "ours"}
    answer = function.invoke(multi_value("/models/titanic/predict", '{"inputs": [{}]}', headers))
    assert "headers" not in answer
    assert answer["multiValueHeaders"]["x-request-id"] == ["ours"]


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(
    ("path", "body", "headers", "method", "status"),
    [
        ("/models/titanic/predict", "{", JSON, "POST", 400),
        ("/models/titanic/predict", None, JSON, "POST", 422),
        ("/models/titanic/predict", '{"inputs": [{"age": []}]}', JSON, "POST", 422),
        ("/models/titanic/predict", '{"inputs": [{}]}', {}, "POST", 415),
        ("/models/titanik/predict", '{"inputs": [{}]}', JSON, "POST", 404),
        ("/models/titanic/predict", None, {}, "GET", 405),
        ("/", None, {"host": "a:b:c"}, "GET", 400),
    ],
)
def test_client_errors_are_problem_details(
    function: Function, door: Callable[..., Event], path: str, body: str | None, headers: Any, method: str, status: int
) -> None:
    problem(function.invoke(door(path, body, headers, method)), status)


@pytest.mark.parametrize(
    "event", [{"inputs": [{}]}, [], "text", None, {"requestContext": {}}, {"source": "aws.events"}]
)
def test_an_unknown_event_is_rejected(function: Function, event: Any) -> None:
    assert "API Gateway" in problem(function.invoke(event), 400)["detail"]


def test_bodies_and_responses_of_megabytes(function: Function) -> None:
    people = "class,sex,age\n" + "1st,female,adult\n" * 40_000
    headers = {"content-type": "text/csv", "accept": "application/jsonlines"}
    answer = function.invoke(http_api("/invocations", people, headers))
    assert answer["statusCode"] == 200
    assert len(answer["body"].splitlines()) == 40_000
    assert "1 MB" in problem(function.invoke(load_balancer("/invocations", people, headers)), 413)["detail"]


def test_it_continues_after_a_freeze(function: Function) -> None:
    event = http_api("/models/mnist/predict", json.dumps({"inputs": [{"image": bundles.glyphs()[3].tolist()}]}), JSON)
    first = function.invoke(event)
    time.sleep(1.0)  # the process is stopped with its threads
    assert content(function.invoke(event)) == content(first)


def test_the_timeout_is_reported_before_lambda_kills_the_process(task_root: Path) -> None:
    images = json.dumps({"inputs": [{"image": image} for image in bundles.glyphs().tolist()] * 100})
    with Function(task_root, timeout=0.5) as function:
        for event_ in ({}, {"x-request-timeout": "60"}):  # a longer timeout of the caller does not end the process
            problem(function.invoke(http_api("/models/mnist/predict", images, {**JSON, **event_})), 504)
        problem(function.invoke(http_api("/models/mnist/predict", images, {**JSON, "x-request-timeout": "soon"})), 400)


def test_it_starts_within_lambdas_ten_seconds(task_root: Path) -> None:
    with Function(task_root) as function:
        assert function.invoke(http_api("/ready", None, {}, "GET"))["statusCode"] == 200
        used = psutil.Process(function.process.pid).cpu_times()
        assert used.user + used.system < 10


def test_missing_bundles_are_reported_at_startup(tmp_path: Path) -> None:
    with Function(tmp_path) as function, pytest.raises(FunctionError, match=f"found no bundle in {tmp_path}/artifacts"):
        function.invoke(http_api("/ready", None, {}, "GET"))


def test_bundles_may_come_from_another_source(task_root: Path, tmp_path: Path) -> None:
    with Function(tmp_path, SERVING_BUNDLES=str(task_root / "artifacts")) as function:
        answer = function.invoke(http_api("/models", None, {}, "GET"))
    assert [card["name"] for card in content(answer)["models"]] == sorted(bundles.MAKERS)


def test_a_new_bundle_takes_over_if_polling_is_on(tmp_path: Path) -> None:
    folder = tmp_path / "artifacts" / "titanic" / "bundle"
    old = bundles.titanic(folder)
    with Function(tmp_path, SERVING_POLL_SECONDS="0.05") as function:
        event = http_api("/models/titanic", None, {}, "GET")
        assert content(function.invoke(event))["version"] == old.version
        (folder / "example.json").write_text('[{"class": "crew"}]')
        new = write_manifest(folder, **old.model_dump(exclude={"files"}))
        until(lambda: content(function.invoke(event))["version"] == new.version)


def test_it_imports_no_training_library(task_root: Path) -> None:
    code = (
        "import sys, serving.entrypoints.aws_lambda\n"
        "heavy = ('torch', 'pytorch_lightning', 'lightning', 'mlflow', 'sklearn', 'pandas', 'boto3', 'uvicorn')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    environment = {**os.environ, "LAMBDA_TASK_ROOT": str(task_root)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
