"""infra/compose: what its files promise, and, where there is a Docker engine, the platform itself.

No public image is pulled: tests/compose lays Debian's own programs over the same services. Health checks, order, users,
networks and read-only file systems stay. Airflow's and MLflow's containers use the checkout's environments
instead of images made of them, and there is one worker. Grafana is not in Debian: its files are checked here.
"""

import json
import os
import re
import shutil
import signal
import socket
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

from infra.compose.stack import ComposeError, Stack, State, settings
from infra.deploy.target import DeployError, Options
from infra.deploy.targets import compose
from infra.smoke import Doors, Shut
from tests.support import engine
from tests.support.checkouts import ROOT
from tests.system.test_dashboards import alerts, expressions

FOLDER = ROOT / "infra" / "compose"
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load((FOLDER / "compose.yaml").read_text())["services"]
TEXT = (FOLDER / "compose.yaml").read_text()
OLD = shutil.which("docker-compose")
each = pytest.mark.parametrize("name", SERVICES)


# ---------------------------------------------------------------- its files


@each
def test_a_service_has_a_health_check_limits_and_a_pinned_image(name: str) -> None:
    service = SERVICES[name]
    assert service["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL")
    assert service["mem_limit"] and service["restart"] and service["networks"] and service["logging"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    ours = re.fullmatch(r"roadmap/(serving|train|airflow):\$\{TAG:-latest\}", service["image"])
    assert ours or re.fullmatch(r"[\w./-]+:[\w.-]*\d[\w.-]*@sha256:[0-9a-f]{64}", service["image"])
    if name != "s3":  # its image starts as root, gives its data to its user, and is not ours to know better
        assert service["read_only"] and service["cap_drop"] == ["ALL"] and int(service["user"].partition(":")[0]) > 0


@each
def test_only_the_proxy_has_a_port_and_it_is_bound_to_this_machine(name: str) -> None:
    expected = ["${BIND:-127.0.0.1}:${PORT:-8000}:8080"] if name == "proxy" else None
    assert SERVICES[name].get("ports") == expected
    assert ("front" in SERVICES[name]["networks"]) == (name in ("mlflow", "airflow-api", "airflow-worker", "serving",
        "canary", "prometheus", "grafana", "proxy"))  # fmt: skip


@each
def test_waiting_for_another_is_waiting_for_its_health(name: str) -> None:
    for other, how in SERVICES[name].get("depends_on", {}).items():
        ends = SERVICES[other]["restart"] == "no"
        assert how == {"condition": "service_completed_successfully" if ends else "service_healthy"}


def test_no_secret_has_a_default() -> None:
    variables = dict(re.findall(r"\$\{(\w+)(:[^}]*)?\}", TEXT))
    secret = {name for name in variables if re.search("PASSWORD|SECRET|JWT", name)}
    assert secret and all(variables[name].startswith(":?") for name in secret)
    example = dict(
        line.split("=", 1) for line in (FOLDER / ".env.example").read_text().splitlines() if "=" in line[:25]
    )
    assert {name for name, value in example.items() if not value} == secret
    literal = re.findall(r"(?:PASSWORD|SECRET|TOKEN|JWT)\w*: (?!\"?\$\{)(\S+)", TEXT)
    assert not literal and "version:" not in re.sub("#.*", "", TEXT)


def test_settings_are_made_once_with_secrets_that_only_their_owner_reads(tmp_path: Path) -> None:
    one, other = (settings(tmp_path / name, given={"PORT": "8123"}) for name in ("one", "other"))
    assert (tmp_path / "one").stat().st_mode & 0o777 == 0o600
    assert one["PORT"] == "8123" and one["PUBLIC_URL"] == "http://localhost:8123" and one["BIND"] == "127.0.0.1"
    secrets = [
        value for values in (one, other) for name, value in values.items() if re.search("PASSW|SECRET|JWT", name)
    ]
    assert len(set(secrets)) == len(secrets) == 20 and all(len(value) >= 64 for value in secrets)
    assert settings(tmp_path / "one", given={"PORT": "9"}) == one
    assert subprocess.run(["git", "check-ignore", "-q", "infra/compose/.env"], cwd=ROOT).returncode == 0


def test_without_settings_nothing_starts(tmp_path: Path) -> None:
    with pytest.raises(ComposeError, match="`make up` writes it") as missing:
        Stack(tmp_path / ".env").env["PORT"]
    assert missing.value.code == 2
    if OLD:
        env = {key: value for key, value in os.environ.items() if not key.startswith("COMPOSE")}
        (tmp_path / "empty").touch()
        command = [OLD, "--env-file", str(tmp_path / "empty"), "-f", str(FOLDER / "compose.yaml"), "config"]
        done = subprocess.run(command, env=env, capture_output=True, text=True)
        assert done.returncode and "run make up" in done.stderr


@pytest.mark.parametrize("alias, said", [("champion", "SERVING_ALIAS is 'champion'"), (None, "`make up` writes it")])
def test_a_deploy_wants_a_server_that_follows_its_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, alias: str | None, said: str
) -> None:
    monkeypatch.setenv("ENV_FILE", str(tmp_path / ".env"))
    if alias:
        settings(tmp_path / ".env")
    with pytest.raises(DeployError, match=said) as refused:
        compose.open(Options("mnist", "staging"))
    assert refused.value.code == 2


@pytest.mark.parametrize(
    "state, status, good, bad",
    [
        ("running", "Up 3 seconds (healthy)", True, False),
        ("running", "Up 1 second (health: starting)", False, False),
        ("running", "Up 3 minutes (unhealthy)", False, True),
        ("exited", "Exited (0) 2 seconds ago", True, False),
        ("exited", "Exited (137) 2 seconds ago", False, True),
        ("restarting", "Restarting (1) 1 second ago", False, True),
        ("created", "Created", False, False),
    ],
)
def test_what_a_container_says_of_itself(state: str, status: str, good: bool, bad: bool) -> None:
    one = State("redis", state, status)
    assert (one.good, one.bad) == (good, bad)


OLD_ONE = State("redis", "running", "Up 3 hours (healthy)", "old")
ENDED = State("redis", "exited", "Exited (137) 1 second ago", "old")
NEW_ONE = State("redis", "running", "Up 1 second (healthy)", "new")


@pytest.mark.parametrize("last, failed", [(NEW_ONE, False), (ENDED, True)], ids=["is replaced", "stays ended"])
def test_the_end_of_what_compose_replaces_is_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, last: State, failed: bool
) -> None:
    looks = [[OLD_ONE], [ENDED], [last]]  # before the start, while Compose works, and from then on
    monkeypatch.setattr(Stack, "states", lambda self: looks.pop(0) if looks[1:] else looks[0])
    monkeypatch.setattr(Stack, "command", lambda self, *words: ["sleep", "0.8"])
    settings(tmp_path / ".env", given={"PORT": str(free_port())})
    up = Stack(tmp_path / ".env").up()
    if failed:
        with pytest.raises(ComposeError, match=r"redis: Exited \(137\)"):
            list(up)
    else:
        assert [service for service, _ in up] == ["redis"]


def test_the_readme_names_every_service() -> None:
    told = (FOLDER / "README.md").read_text()
    assert not [name for name in SERVICES if name not in told]


# ---------------------------------------------------------------- the platform


def why_not() -> str:
    if not engine.missing() and not (ROOT / ".venv-airflow" / "ready").exists():
        return "needs .venv-airflow: run `make test`, which makes it"
    return engine.missing()


IMAGE = "roadmap-compose-debian"
SERVING = "roadmap/serving:compose-test"


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stack, list[str]]]:
    """The running platform, and its services in the order in which they became healthy."""
    if reason := why_not():
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("compose")
    build = ["build", "-q", "--build-arg", f"BASE={engine.base()}", "-t", IMAGE, str(ROOT / "tests" / "compose")]
    built = engine.docker(*build, check=False)
    if built.returncode:
        pytest.skip(f"Debian's packages can not be had: {built.stderr.strip()[-300:]}")
    engine.docker("tag", engine.built("serving"), SERVING)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TAG", "compose-test")
        patch.setenv("COMPOSE_PROJECT_NAME", f"compose-test-{os.getpid()}")
        patch.setenv("COMPOSE_FILE", f"{FOLDER / 'compose.yaml'}:{ROOT / 'tests' / 'compose' / 'debian.yaml'}")
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


slow = pytest.mark.slow


@slow
def test_they_start_after_those_they_need(started: tuple[Stack, list[str]]) -> None:
    stack, order = started
    assert set(order) == set(SERVICES) - {"grafana", "canary"}
    for name in order:
        assert all(order.index(other) <= order.index(name) for other in SERVICES[name].get("depends_on", {})), order
    assert all(one.good for one in stack.states())


@slow
def test_the_four_doors(stack: Stack) -> None:
    done = subprocess.run([sys.executable, "-m", "infra.smoke"], cwd=ROOT, capture_output=True, text=True, timeout=1500)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [line[2:].split()[0] for line in done.stdout.splitlines() if line[0] == "✓"] == [
        "dvc", "airflow", "deploy", "http",
    ]  # fmt: skip
    assert re.search(r"serving +up ", done.stdout)


@slow
def test_prometheus_answers_what_the_dashboard_asks(stack: Stack) -> None:
    doors = Doors(stack, "house_prices")
    example = json.loads(doors.worker("cat", "artifacts/house_prices/bundle/example.json"))
    quiet = ("tokens", "failures", "[45]..", "5..", "absent", "> 1", "swaps", "arm_", "mirror", "fallbacks", "roadmap_")
    asked = [text.replace("$__rate_interval", "1m").replace("$project", ".*") for text in [*expressions(), *alerts()]]
    until = time.monotonic() + 60
    while asked:  # a rate is there after two scrapes
        answers = [json.loads(doors.get(f"/prometheus/api/v1/query?query={quote(one)}", login=True)) for one in asked]
        assert {answer["status"] for answer in answers} == {"success"}
        empty = [one for one, answer in zip(asked, answers, strict=True) if not answer["data"]["result"]]
        asked = [one for one in empty if not any(word in one for word in quiet)]
        assert time.monotonic() < until, asked
        doors.get("/models/house_prices/predict", {"inputs": example})
        time.sleep(1)
    groups = json.loads(doors.get("/prometheus/api/v1/rules", login=True))["data"]["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert len(rules) == len(alerts()) and all(rule["health"] == "ok" for rule in rules)
    targets = json.loads(doors.get("/prometheus/api/v1/targets", login=True))["data"]["activeTargets"]
    assert {"pushgateway": "up"}.items() <= {one["labels"]["job"]: one["health"] for one in targets}.items()


@slow
def test_nobody_gets_in_without_the_password(stack: Stack) -> None:
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
    for service in ("postgres", "redis", "s3"):  # the back network leads nowhere, and nowhere leads in
        assert not [one for one in SERVICES[service]["networks"] if one != "back"]


@slow
def test_a_deploy_shifts_traffic_to_a_canary_and_gives_it_back_when_interrupted(stack: Stack, tmp_path: Path) -> None:
    stack.file.write_text(stack.file.read_text().replace("SERVING_ALIAS=champion", "SERVING_ALIAS=staging"))
    stack = Stack(stack.file)
    stack.run("rm", "-sf", "serving")  # it has the champion by now
    list(stack.up())
    doors = Doors(stack, "house_prices")
    example = json.loads(doors.worker("cat", "artifacts/house_prices/bundle/example.json"))

    def answered() -> str:
        try:
            return str(json.loads(doors.get("/models/house_prices/predict", {"inputs": example}))["model"]["version"])
        except Shut as error:
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
        assert "gone back" in one.stdout.read()
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


@slow
def test_one_that_is_started_anew_is_found_again(stack: Stack) -> None:
    stack.run("rm", "-sf", "serving")
    begun = time.monotonic()
    with pytest.raises(Shut, match=r"/health: 50[24]"):
        Doors(stack, "house_prices").get("/health")
    assert time.monotonic() - begun < 15
    assert "serving" in [service for service, _ in stack.up()]
    assert json.loads(Doors(stack, "house_prices").get("/health"))


@slow
def test_a_taken_port_is_said_before_anything_starts(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMPOSE_PROJECT_NAME", "compose-test-other")
    done = subprocess.run([sys.executable, "-m", "infra.compose", "up"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2 and f"127.0.0.1:{stack.env['PORT']} can not be used" in done.stderr
    assert stack.states() == []


@slow
def test_a_service_that_fails_is_named_with_its_last_words(stack: Stack, tmp_path: Path) -> None:
    """The database keeps the password that it was made with."""
    file = tmp_path / ".env"
    file.write_text(re.sub("AIRFLOW_DB_PASSWORD=.*", "AIRFLOW_DB_PASSWORD=another", stack.file.read_text()))
    with pytest.raises(ComposeError, match=r"airflow-init: .*\n(.*\n)*.*password authentication failed") as failed:
        list(Stack(file).up())
    assert failed.value.code == 1
