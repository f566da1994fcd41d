"""infra/compose: the whole platform on a container engine.

No public image is pulled: compose/ beside this file runs Debian's programs as the same services. Health checks, order,
users, networks and read-only file systems are unchanged. Airflow and MLflow run in the checkout's environments instead
of images, and there is one worker. Grafana is not in Debian: its files are tested elsewhere.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import yaml

from infra.compose.stack import ComposeError, Stack, settings
from infra.smoke import DoorClosed, Doors
from tests.support.checkouts import ROOT
from tests.support.infra import engine
from tests.support.infra.dashboards import FOLDER, alerts, expressions
from tests.support.servers import free_port

SERVICES: dict[str, dict[str, Any]] = yaml.safe_load((FOLDER / "compose.yaml").read_text())["services"]
DEBIAN = Path(__file__).parent / "compose"


def why_not() -> str:
    if not engine.missing() and not (ROOT / ".venv-airflow" / "ready").exists():
        return "needs .venv-airflow: run `make test`, which makes it"
    return engine.missing()


IMAGE = "roadmap-compose-debian"
SERVING = "roadmap/serving:compose-test"


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stack, list[str]]]:
    """The running platform, and its services in the order of becoming healthy."""
    if reason := why_not():
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("compose")
    build = ["build", "-q", "--build-arg", f"BASE={engine.base()}", "-t", IMAGE, str(DEBIAN)]
    built = engine.docker(*build, check=False)
    if built.returncode:
        pytest.skip(f"Debian's packages are not available: {built.stderr.strip()[-300:]}")
    engine.docker("tag", engine.built("serving"), SERVING)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TAG", "compose-test")
        patch.setenv("COMPOSE_PROJECT_NAME", f"compose-test-{os.getpid()}")
        patch.setenv("COMPOSE_FILE", f"{FOLDER / 'compose.yaml'}:{DEBIAN / 'debian.yaml'}")
        patch.setenv("TEST_PYTHON", sys.base_prefix)
        patch.setenv("TEST_VENV", str((ROOT / ".venv").resolve()))
        patch.setenv("TEST_VENV_AIRFLOW", str((ROOT / ".venv-airflow").resolve()))
        patch.delenv("DATA_MIRROR", raising=False)  # a folder of this machine is none of theirs
        patch.setenv("ENV_FILE", str(folder / ".env"))
        settings(folder / ".env", given={"PORT": str(free_port())})
        stack = Stack(folder / ".env")
        try:
            yield stack, [service for service, _ in stack.up()]
        finally:
            stack.down(volumes=True)
            engine.docker("rmi", "--no-prune", IMAGE, SERVING, check=False)


@pytest.fixture
def stack(started: tuple[Stack, list[str]]) -> Stack:
    return started[0]


def test_services_start_after_their_dependencies(started: tuple[Stack, list[str]]) -> None:
    stack, order = started
    assert set(order) == set(SERVICES) - {"grafana", "canary"}
    for name in order:
        assert all(order.index(other) <= order.index(name) for other in SERVICES[name].get("depends_on", {})), order
    assert all(one.good for one in stack.states())


def test_the_four_entry_points_work(stack: Stack) -> None:
    done = subprocess.run([sys.executable, "-m", "infra.smoke"], cwd=ROOT, capture_output=True, text=True, timeout=1500)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [line[2:].split()[0] for line in done.stdout.splitlines() if line[0] == "✓"] == [
        "dvc", "airflow", "deploy", "http",
    ]  # fmt: skip
    assert re.search(r"serving +up ", done.stdout)


def test_prometheus_answers_the_dashboards_queries(stack: Stack) -> None:
    doors = Doors(stack, "house_prices")
    example = json.loads(doors.worker("cat", "artifacts/house_prices/bundle/example.json"))
    quiet = ("tokens", "failures", "[45]..", "5..", "absent", "> 1", "swaps", "arm_", "mirror", "fallbacks", "roadmap_")
    queried = [text.replace("$__rate_interval", "1m").replace("$project", ".*") for text in [*expressions(), *alerts()]]
    until = time.monotonic() + 60
    while queried:  # a rate needs two scrapes
        answers = [json.loads(doors.get(f"/prometheus/api/v1/query?query={quote(one)}", login=True)) for one in queried]
        assert {answer["status"] for answer in answers} == {"success"}
        empty = [one for one, answer in zip(queried, answers, strict=True) if not answer["data"]["result"]]
        queried = [one for one in empty if not any(word in one for word in quiet)]
        assert time.monotonic() < until, queried
        doors.get("/models/house_prices/predict", {"inputs": example})
        time.sleep(1)
    groups = json.loads(doors.get("/prometheus/api/v1/rules", login=True))["data"]["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert len(rules) == len(alerts()) and all(rule["health"] == "ok" for rule in rules)
    targets = json.loads(doors.get("/prometheus/api/v1/targets", login=True))["data"]["activeTargets"]
    assert {"pushgateway": "up"}.items() <= {one["labels"]["job"]: one["health"] for one in targets}.items()


def test_the_password_is_required(stack: Stack) -> None:
    def status(path: str, data: bytes | None = None) -> int:
        headers = {"Content-Type": "application/json", "Authorization": "Basic YWRtaW46YWRtaW4="}  # admin:admin
        try:
            with urllib.request.urlopen(urllib.request.Request(stack.url + path, data, headers), timeout=30) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    assert status("/mlflow/") == status("/prometheus/") == 401
    assert status("/airflow/auth/token", b'{"username": "admin", "password": "admin"}') == 401
    assert status("/metrics") == 404 and status("/health") == 200
    assert "NOAUTH" in stack.run("exec", "-T", "-e", "REDISCLI_AUTH=", "redis", "redis-cli", "ping")
    wrong = ["psql", "postgresql://airflow:wrong@postgres/airflow", "-c", "select 1"]
    with pytest.raises(ComposeError, match="password authentication failed"):
        stack.run("exec", "-T", "postgres", *wrong)
    for service in ("postgres", "redis", "s3"):  # the back network has no route in or out
        assert not [one for one in SERVICES[service]["networks"] if one != "back"]


def test_an_interrupted_deployment_returns_the_traffic(stack: Stack, tmp_path: Path) -> None:
    stack.file.write_text(stack.file.read_text().replace("SERVING_ALIAS=champion", "SERVING_ALIAS=staging"))
    stack = Stack(stack.file)
    stack.run("rm", "-sf", "serving")  # it has the champion by now
    list(stack.up())
    doors = Doors(stack, "house_prices")
    example = json.loads(doors.worker("cat", "artifacts/house_prices/bundle/example.json"))

    def answered() -> str:
        try:
            return str(json.loads(doors.get("/models/house_prices/predict", {"inputs": example}))["model"]["version"])
        except DoorClosed as error:
            assert "404" in str(error), error
            return ""

    command = [sys.executable, "-m", "infra.deploy", "target=compose", "project=house_prices", "stage=staging"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    assert answered() == ""
    with subprocess.Popen(
        [*command, "steps=0.5", "bake=60"], cwd=tmp_path, env=env, stdout=subprocess.PIPE, text=True
    ) as one:
        assert one.stdout
        assert any("50% of the requests" in line for line in one.stdout)
        drawn = [answered() for _ in range(60)]
        assert 10 < drawn.count("") < 50 and len(set(drawn)) == 2
        one.send_signal(signal.SIGTERM)
        assert "rolled back" in one.stdout.read()
    assert one.returncode == 130
    assert {answered() for _ in range(20)} == {""}
    assert "canary" not in {state.service for state in stack.states()}

    done = subprocess.run([*command, "steps=", "bake=1"], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert {answered() for _ in range(20)} == {max(drawn)}
    assert "canary" not in {state.service for state in stack.states()}
    results = [
        json.loads(line)["result"] for line in next(tmp_path.rglob("deployments.jsonl")).read_text().splitlines()
    ]
    assert results == ["interrupted", "deployed"]


def test_a_restarted_service_is_found_again(stack: Stack) -> None:
    stack.run("rm", "-sf", "serving")
    begun = time.monotonic()
    with pytest.raises(DoorClosed, match=r"/health: 50[24]"):
        Doors(stack, "house_prices").get("/health")
    assert time.monotonic() - begun < 15
    assert "serving" in [service for service, _ in stack.up()]
    assert json.loads(Doors(stack, "house_prices").get("/health"))


def test_a_port_in_use_is_reported_before_anything_starts(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMPOSE_PROJECT_NAME", "compose-test-other")
    done = subprocess.run([sys.executable, "-m", "infra.compose", "up"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2 and f"127.0.0.1:{stack.env['PORT']} is unavailable" in done.stderr
    assert stack.states() == []


def test_a_failed_service_is_named_with_its_last_output(stack: Stack, tmp_path: Path) -> None:
    """The database keeps the password that it was created with."""
    file = tmp_path / ".env"
    file.write_text(re.sub("AIRFLOW_DB_PASSWORD=.*", "AIRFLOW_DB_PASSWORD=another", stack.file.read_text()))
    with pytest.raises(ComposeError, match=r"airflow-init: .*\n(.*\n)*.*password authentication failed") as failed:
        list(Stack(file).up())
    assert failed.value.code == 1
