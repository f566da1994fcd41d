"""The serving image as a Lambda function: how each failure ends, and that the next event is handled."""

import json
import random
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from roadmap.bundle import Bundle, load_predictor
from tests.standins.aws.aws_lambda.platform import PAYLOAD, Environment, Outcome, Platform, event
from tests.support import bundles
from tests.support.infra import engine

pytestmark = [engine.needed]


def titanic(*rows: dict[str, str], **headers: str) -> bytes:
    return event("/models/titanic/predict", json.dumps({"inputs": rows}), **headers)


TABLES = ("-e", "MODEL_PROJECT=titanic")  # whose /invocations they go to


def csv(rows: int) -> bytes:
    """An event with a table of passengers, to be answered with one line per row."""
    text = "class,sex,age\n" + "1st,female,adult\n" * rows
    return event("/invocations", text, **{"content-type": "text/csv", "accept": "application/jsonlines"})


def answered(outcome: Outcome, status: int = 200) -> Any:
    assert (outcome.status, outcome.error, outcome.payload.get("statusCode")) == (200, "", status), outcome
    return json.loads(outcome.payload["body"])


WOMAN = {"class": "1st", "sex": "female", "age": "adult"}


def test_concurrent_callers_get_their_own_responses(serving: str, artifacts: Path) -> None:
    """Throttled callers retry, like AWS's clients."""
    predictor = load_predictor(Bundle(artifacts / "titanic" / "bundle"))
    rows = [{"class": cls, "sex": sex, "age": age} for cls, sex, age in bundles.SURVIVORS] * 4
    expected = [predictor.predict([predictor.Request.model_validate(row)])[0].model_dump(mode="json") for row in rows]
    refused = 0

    with Platform(serving, artifacts, most=2, options=("--memory", "512m")) as platform:

        def ask(number: int) -> tuple[str, Any]:
            nonlocal refused
            while True:
                outcome = platform.invoke(titanic(rows[number], **{"x-request-id": f"request-{number}"}))
                if outcome.status != 429:
                    break
                refused += 1
                time.sleep(random.uniform(0.05, 0.3))
            assert outcome.payload["headers"]["x-request-id"] == f"request-{number}"
            return outcome.environment, answered(outcome)["outputs"][0]

        with ThreadPoolExecutor(6) as callers:
            answers = list(callers.map(ask, range(len(rows))))
    assert [output for _, output in answers] == expected
    assert len({environment for environment, _ in answers}) == 2 and refused


def test_environments_are_frozen_and_reused(serving: str, artifacts: Path) -> None:
    with Platform(serving, artifacts) as platform:
        first = platform.invoke(titanic(WOMAN))
        (kept,) = platform.free
        assert kept.state()["Paused"]
        time.sleep(1.0)
        second = platform.invoke(titanic(WOMAN))
    assert answered(first) == answered(second) and first.environment == second.environment


def test_a_hanging_invocation_ends_only_its_environment(serving: str, artifacts: Path) -> None:
    """The server itself responds 504 in time (tests/serving/entrypoints/); this process hangs."""

    def stop(environment: Environment) -> None:
        engine.docker("kill", "--signal", "STOP", environment.name)

    with Platform(serving, artifacts, timeout=2) as platform:
        begun = time.monotonic()
        late = platform.invoke(titanic(WOMAN), before=stop)
        assert late.error == "Sandbox.Timedout" and "Task timed out after 2.00 seconds" in late.payload["errorMessage"]
        assert time.monotonic() - begun < 20
        assert engine.docker("inspect", late.environment, check=False).returncode, "the environment has ended"
        after = platform.invoke(titanic(WOMAN))
        assert answered(after) and after.environment != late.environment


def test_an_invocation_out_of_memory(serving: str, artifacts: Path) -> None:
    """128 MB, Lambda's minimum, are enough for the server and its model, but not for the largest request."""
    largest = csv(PAYLOAD // 19)
    with Platform(serving, artifacts, options=(*TABLES, "--memory", "128m", "--memory-swap", "128m")) as platform:
        assert answered(platform.invoke(titanic(WOMAN)))
        died = platform.invoke(largest)
        assert died.error == "Runtime.ExitError" and "signal: killed" in died.payload["errorMessage"]
        after = platform.invoke(titanic(WOMAN))
        assert answered(after) and after.environment != died.environment


def test_too_little_memory_to_start_is_a_silent_kill(serving: str, artifacts: Path) -> None:
    one = Environment(serving, artifacts, 30, ("--memory", "40m", "--memory-swap", "40m"))
    try:
        assert engine.Container(one.name, "").wait(60) == 137 and one.state()["OOMKilled"]
        assert one.runtime.answers.empty()
    finally:
        one.end()


def test_an_event_above_six_megabytes_is_rejected(serving: str, artifacts: Path) -> None:
    with Platform(serving, artifacts) as platform:
        refused = platform.invoke(csv(PAYLOAD // 16))
        assert (refused.status, refused.error) == (413, "RequestTooLargeException")
        assert not platform.free, "no environment was started for it"


def test_a_response_above_six_megabytes_is_a_problem(serving: str, artifacts: Path) -> None:
    """Lambda would end the invocation with its own error; the function's response has the reason."""
    with Platform(serving, artifacts, options=(*TABLES, "--memory", "1024m")) as platform:
        outcome = platform.invoke(csv(150_000))
        assert "6 MB" in answered(outcome, 413)["detail"] and outcome.size < 10_000
        fits = platform.invoke(csv(30_000))
        assert fits.payload["statusCode"] == 200 and fits.size > 1_000_000 and fits.environment == outcome.environment


def test_an_image_without_a_bundle_reports_it_at_startup(serving: str, tmp_path: Path) -> None:
    engine.readable(tmp_path)
    one = Environment(serving, tmp_path, 30, ())
    try:
        kind, answer = one.runtime.answers.get(timeout=60)
        assert kind == "init" and "found no bundle in" in json.dumps(answer)
    finally:
        one.end()
