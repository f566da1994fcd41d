"""The services of compose.yaml on the local Docker engine, with either version of Compose.

COMPOSE_FILE, COMPOSE_PROJECT_NAME and DOCKER_HOST have Compose's meaning; ENV_FILE is the path of another .env.
"""

import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from roadmap.io.errors import TEMPORARY, CommandError

HERE = Path(__file__).parent
PATIENCE = float(os.environ.get("UP_SECONDS", "600"))  # until everything is healthy


class ComposeError(CommandError):
    """Compose failed; the message has the remedy."""


@dataclass(frozen=True)
class ContainerState:
    """A container's state, such as `running` or `exited`, and its health."""

    service: str
    state: str
    status: str
    id: str = ""

    @property
    def good(self) -> bool:
        return "(healthy)" in self.status or self.status.startswith("Exited (0)")

    @property
    def bad(self) -> bool:
        return "(unhealthy)" in self.status or self.state in ("restarting", "dead") or self.ended

    @property
    def ended(self) -> bool:
        return self.state == "exited" and not self.status.startswith("Exited (0)")


def settings(
    file: Path, example: Path = HERE / ".env.example", given: Mapping[str, str] = os.environ
) -> dict[str, str]:
    """The variables of `file`, which is created from `example` if missing, with a secret for every empty value.

    PORT may come from the environment on creation; the public address follows it.
    """
    if not file.exists():
        lines = []
        for line in example.read_text().splitlines():
            name, equals, value = line.partition("=")
            if equals and not line.startswith("#") and not value:
                line = f"{name}={secrets.token_urlsafe(48)}"
            elif name in ("PORT", "PUBLIC_URL") and (port := given.get("PORT")):
                line = f"{name}={port}" if name == "PORT" else f"{name}=http://localhost:{port}"
            lines.append(line)
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as made:
            made.write("\n".join(lines) + "\n")
    found = {}
    for line in file.read_text().splitlines():
        name, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found[name] = value
    return found


class Stack:
    def __init__(self, file: Path | None = None) -> None:
        self.file = file or Path(os.environ.get("ENV_FILE", HERE / ".env"))

    @cached_property
    def env(self) -> dict[str, str]:
        """The variables of the file.

        Raises:
            ComposeError: it is missing.
        """
        if not self.file.exists():
            raise ComposeError(f"{self.file}: missing; create it with `make up`", 2)
        return settings(self.file)

    @property
    def name(self) -> str:
        return os.environ.get("COMPOSE_PROJECT_NAME", "roadmap")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.env['PORT']}"

    @cached_property
    def program(self) -> list[str]:
        """`docker compose`, or docker-compose 1.29.

        Raises:
            ComposeError: neither is installed, or the engine is unreachable.
        """
        if docker := shutil.which("docker"):
            if subprocess.run([docker, "info"], capture_output=True).returncode:
                raise ComposeError("the Docker engine is unreachable; start it or set DOCKER_HOST", TEMPORARY)
            if not subprocess.run([docker, "compose", "version"], capture_output=True).returncode:
                return [docker, "compose"]
        if old := shutil.which("docker-compose"):
            return [old]
        raise ComposeError("found neither `docker compose` nor docker-compose; install one", 2)

    def command(self, *arguments: str) -> list[str]:
        files = os.environ.get("COMPOSE_FILE", str(HERE / "compose.yaml")).split(os.pathsep)
        named = [part for file in files for part in ("-f", file)]
        return [*self.program, "--env-file", str(self.file), "-p", self.name, *named, *arguments]

    @property
    def environment(self) -> dict[str, str]:
        """The environment without the file's variables, which it would override: `PORT` may be another program's."""
        return {key: value for key, value in os.environ.items() if key not in self.env}

    def run(self, *arguments: str, seconds: float = 600, env: Mapping[str, str] | None = None) -> str:
        """The output of Compose.

        Raises:
            ComposeError: it failed, with its last lines.
        """
        try:
            done = subprocess.run(
                self.command(*arguments),
                env={**self.environment, **(env or {})},
                capture_output=True,
                text=True,
                timeout=seconds,
            )
        except subprocess.TimeoutExpired:
            raise ComposeError(
                f"compose {' '.join(arguments[:3])}: timed out after {seconds:.0f} s", TEMPORARY
            ) from None
        if done.returncode:
            output = tail(done.stderr or done.stdout, 8)
            raise ComposeError(f"compose {' '.join(arguments[:3])} ended with {done.returncode}:\n{output}")
        return done.stdout

    def states(self) -> list[ContainerState]:
        """The containers, by service.

        Raises:
            ComposeError: the engine is unreachable.
        """
        label = '{{.Label "com.docker.compose.service"}}'
        command = ["docker", "ps", "-a", "--filter", f"label=com.docker.compose.project={self.name}"]
        shown = subprocess.run(
            [*command, "--format", f"{label}\t{{{{.State}}}}\t{{{{.Status}}}}\t{{{{.ID}}}}"],
            capture_output=True,
            text=True,
        )
        if shown.returncode:
            raise ComposeError(f"the Docker engine is unreachable: {shown.stderr.strip()}", TEMPORARY)
        return [ContainerState(*line.split("\t")) for line in sorted(shown.stdout.splitlines())]

    def logs(self, service: str, lines: int = 12) -> str:
        done = subprocess.run(
            self.command("logs", "--no-color", f"--tail={lines}", service), env=self.environment, capture_output=True,
            text=True,
        )  # fmt: skip
        return tail(done.stdout, lines)

    # ---------------------------------------------------------------- up

    def up(self) -> Iterator[tuple[str, float]]:
        """Starts everything; yields each service and its seconds until healthy.

        Raises:
            ComposeError: the port is taken, an image is missing, or a service failed.
        """
        before = self.states()
        if "proxy" not in {one.service for one in before if one.state == "running"}:
            self.check_port()
        old = {one.id for one in before}  # Compose may stop or restart these: their exit is not a failure
        started, seen = time.monotonic(), set()
        with subprocess.Popen(
            self.command("up", "-d"), env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as compose:
            try:
                while True:
                    running = compose.poll() is None  # read first: once Compose has ended, the states are final
                    states = self.states()
                    for one in states:
                        if one.good and one.service not in seen:
                            seen.add(one.service)
                            yield one.service, time.monotonic() - started
                    if bad := [one for one in states if one.bad and not (running and one.ended and one.id in old)]:
                        self.complain(bad[0])
                    if not running and (compose.returncode or all(one.good for one in states)):
                        break
                    if time.monotonic() - started > PATIENCE:
                        late = [one.service for one in states if not one.good]
                        raise ComposeError(f"not healthy within {PATIENCE:.0f} s: {', '.join(late)}", TEMPORARY)
                    time.sleep(0.5)
            except BaseException:
                compose.terminate()
                raise
            output = compose.stdout.read() if compose.stdout else ""
        if compose.returncode:
            raise ComposeError(f"compose up failed with exit code {compose.returncode}:\n{tail(output, 8)}")

    def check_port(self) -> None:
        """
        Raises:
            ComposeError: another program has the port.
        """
        host, port = self.env.get("BIND", "127.0.0.1"), int(self.env["PORT"])
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError as error:
                raise ComposeError(
                    f"{host}:{port} is unavailable ({error.strerror}); choose another PORT and "
                    f"PUBLIC_URL in {self.file}",
                    2,
                ) from None

    def complain(self, one: ContainerState) -> None:
        """
        Raises:
            ComposeError: always; why this container failed, with its last lines.
        """
        hint = "build our images with `make images`" if "No such image" in one.status else "its last lines:"
        raise ComposeError(f"{one.service}: {one.status}; {hint}\n{self.logs(one.service)}")

    def down(self, volumes: bool = False) -> None:
        self.run("--profile", "canary", "down", "--remove-orphans", *(["-v"] if volumes else []))


def tail(text: str, lines: int) -> str:
    return "\n".join(f"  {line}" for line in text.strip().splitlines()[-lines:])


def show(stack: Stack) -> None:
    url = stack.env["PUBLIC_URL"]
    print(f"{url}  the models; logins: user admin, passwords in {stack.file}")
    for path, what in (("airflow", "AIRFLOW_PASSWORD"), ("mlflow", "WEB_PASSWORD"), ("grafana", "GRAFANA_PASSWORD"),
                       ("prometheus", "WEB_PASSWORD")):  # fmt: skip
        print(f"  {url}/{path:<12} {what}")
