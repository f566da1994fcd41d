"""Logs: their content, and no injection."""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.auth import __main__ as auth
from serving.http.app import create_app
from serving.observability import logs
from serving.settings import Settings
from tests.support import bundles

Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("artifacts")
    bundles.titanic(folder / "titanic" / "bundle")
    return str(folder)


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Lines:
    """The lines of the audit log, as JSON."""
    caplog.set_level(logging.INFO, logger=logs.AUDIT)

    def read() -> list[dict[str, Any]]:
        return [json.loads(logs.JsonFormatter().format(one)) for one in caplog.records if one.name == logs.AUDIT]

    return read


def test_a_request_is_one_audit_line(
    artifacts: str, lines: Lines, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "keys.json"
    auth.main(["new", "--name", "ci", "--projects", "titanic", "--file", str(file)])
    key = capsys.readouterr().out.strip()
    with TestClient(create_app(Settings(bundles=artifacts, api_keys=file))) as client:
        body: dict[str, Any] = {"inputs": [{}, {}]}
        response = client.post(
            "/models/titanic/predict?key=SECRET", json=body, headers={"X-API-Key": key, "X-Request-ID": "abc"}
        )
    (line,) = lines()
    assert {name: line[name] for name in ("request_id", "key", "method", "route", "project", "inputs", "status")} == {
        "request_id": "abc",
        "key": "ci",
        "method": "POST",
        "route": "/models/{name}/predict",
        "project": "titanic",
        "inputs": 2,
        "status": 200,
    }
    assert line["version"] == response.headers["x-model-version"]
    assert line["bytes_out"] == len(response.content)
    assert line["bytes_in"] == int(response.request.headers["content-length"])
    assert 0 < line["ms"] < 60_000
    assert line["time"].endswith("Z")
    assert key not in str(line) and "SECRET" not in str(line) and "payload" not in line


def test_errors_are_audit_lines_too(artifacts: str, lines: Lines) -> None:
    app = create_app(Settings(bundles=artifacts))

    @app.get("/broken")
    def broken() -> None:
        raise RuntimeError("broken")

    with TestClient(app, raise_server_exceptions=False) as client:
        client.get("/nowhere")
        client.post("/models/titanic/predict", content="{", headers={"content-type": "application/json"})
        client.get("/broken")
    assert [(line["route"], line["status"]) for line in lines()] == [
        ("none", 404),
        ("/models/{name}/predict", 400),
        ("/broken", 500),
    ]


def test_payloads_are_opt_in_and_truncated(artifacts: str, lines: Lines) -> None:
    body = json.dumps({"inputs": [{"sex": "female"}]}) + " " * 20_000
    headers = {"content-type": "application/json"}
    with TestClient(create_app(Settings(bundles=artifacts, audit="payload"))) as client:
        client.post("/models/titanic/predict", content=body, headers=headers)
    assert lines()[0]["payload"] == body[:10_000]
    assert lines()[0]["bytes_in"] == len(body)


def test_the_audit_log_can_be_off(artifacts: str, lines: Lines) -> None:
    with TestClient(create_app(Settings(bundles=artifacts, audit="none"))) as client:
        client.get("/models")
    assert lines() == []


def record(message: str, **fields: Any) -> logging.LogRecord:
    return logging.makeLogRecord({"msg": "%s", "args": (message,), "levelname": "INFO", "fields": fields})


@settings(deadline=None)  # tolerates a busy machine
@given(st.text(), st.text())
def test_client_input_cannot_break_a_line(message: str, value: str) -> None:
    line = logs.JsonFormatter().format(record(message, value=value))
    assert line.isascii() and line.isprintable()
    assert (json.loads(line)["message"], json.loads(line)["value"]) == (message, value)
    first, *rest = logs.TextFormatter().format(record(message, value=value)).split("\n")
    assert all(line.startswith("    ") for line in rest)
    assert all(line.isprintable() for line in [first, *rest])


def test_a_forged_field_is_quoted() -> None:
    line = logs.TextFormatter().format(record("request", key='ci" status=200', route="/models/{name}", status=401))
    assert line.endswith(r' INFO request key="ci\" status=200" route=/models/{name} status=401')


def test_a_stack_trace_cannot_forge_a_line() -> None:
    try:
        raise ValueError("bad\n2026-01-01T00:00:00.000Z INFO request key=admin\x1b[2J")
    except ValueError as error:
        found = logging.makeLogRecord(
            {"msg": "failed", "levelname": "ERROR", "exc_info": (type(error), error, error.__traceback__)}
        )
    text = logs.TextFormatter().format(found)
    assert "ValueError: bad" in text and "\x1b" not in text
    assert all(line.startswith("    ") for line in text.split("\n")[1:])
    assert "ValueError: bad" in json.loads(logs.JsonFormatter().format(found))["exception"]


def test_every_line_of_a_server_log_is_json(artifacts: str, server: Callable[..., Any]) -> None:
    with server(artifacts, "--log-format", "json") as running:
        running.get("/models/titanic")
    output = [json.loads(line) for line in running.stderr().splitlines()]
    assert {"Application startup complete.", "request", "Shutting down"} <= {line["message"] for line in output}
    assert all({"time", "level", "logger"} <= line.keys() for line in output)
