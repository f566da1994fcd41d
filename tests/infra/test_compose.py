"""The files of infra/compose, and its commands' messages when something is missing."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.compose.stack import ComposeError, ContainerState, Stack, settings
from infra.deploy.target import DeployError, Options
from infra.deploy.targets import compose
from tests.support.checkouts import ROOT
from tests.support.infra.dashboards import FOLDER
from tests.support.servers import free_port

SERVICES: dict[str, dict[str, Any]] = yaml.safe_load((FOLDER / "compose.yaml").read_text())["services"]
TEXT = (FOLDER / "compose.yaml").read_text()
OLD = shutil.which("docker-compose")
each = pytest.mark.parametrize("name", SERVICES)


@each
def test_a_service_has_a_health_check_limits_and_a_pinned_image(name: str) -> None:
    service = SERVICES[name]
    assert service["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL")
    assert service["mem_limit"] and service["restart"] and service["networks"] and service["logging"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    ours = re.fullmatch(r"roadmap/(serving|train|airflow):\$\{TAG:-latest\}", service["image"])
    assert ours or re.fullmatch(r"[\w./-]+:[\w.-]*\d[\w.-]*@sha256:[0-9a-f]{64}", service["image"])
    if name != "s3":  # its image starts as root and then changes to its user
        assert service["read_only"] and service["cap_drop"] == ["ALL"] and int(service["user"].partition(":")[0]) > 0


@each
def test_only_the_proxy_publishes_a_port_on_localhost(name: str) -> None:
    expected = ["${BIND:-127.0.0.1}:${PORT:-8000}:8080"] if name == "proxy" else None
    assert SERVICES[name].get("ports") == expected
    assert ("front" in SERVICES[name]["networks"]) == (name in ("mlflow", "airflow-api", "airflow-worker", "serving",
        "canary", "prometheus", "grafana", "proxy"))  # fmt: skip


@each
def test_dependencies_wait_for_health(name: str) -> None:
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


def test_settings_are_created_once_with_private_secrets(tmp_path: Path) -> None:
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
    with pytest.raises(ComposeError, match="create it with `make up`") as missing:
        Stack(tmp_path / ".env").env["PORT"]
    assert missing.value.code == 2
    if OLD:
        env = {key: value for key, value in os.environ.items() if not key.startswith("COMPOSE")}
        (tmp_path / "empty").touch()
        command = [OLD, "--env-file", str(tmp_path / "empty"), "-f", str(FOLDER / "compose.yaml"), "config"]
        done = subprocess.run(command, env=env, capture_output=True, text=True)
        assert done.returncode and "run make up" in done.stderr


@pytest.mark.parametrize(
    "alias, message", [("champion", "SERVING_ALIAS is 'champion'"), (None, "create it with `make up`")]
)
def test_a_deployment_needs_a_server_that_follows_its_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, alias: str | None, message: str
) -> None:
    monkeypatch.setenv("ENV_FILE", str(tmp_path / ".env"))
    if alias:
        settings(tmp_path / ".env")
    with pytest.raises(DeployError, match=message) as refused:
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
def test_container_states_are_interpreted(state: str, status: str, good: bool, bad: bool) -> None:
    one = ContainerState("redis", state, status)
    assert (one.good, one.bad) == (good, bad)


OLD_ONE = ContainerState("redis", "running", "Up 3 hours (healthy)", "old")
ENDED = ContainerState("redis", "exited", "Exited (137) 1 second ago", "old")
NEW_ONE = ContainerState("redis", "running", "Up 1 second (healthy)", "new")


@pytest.mark.parametrize("last, failed", [(NEW_ONE, False), (ENDED, True)], ids=["is replaced", "stays ended"])
def test_replaced_containers_are_not_failures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, last: ContainerState, failed: bool
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
    messages = (FOLDER / "README.md").read_text()
    assert not [name for name in SERVICES if name not in messages]
