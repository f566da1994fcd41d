"""A container engine for the tests that need one; without one they are skipped with the reason.

Images are built once for all workers of a run and removed at its end; the engine keeps their layers for the next build.
"""

import ipaddress
import json
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from infra.images import PASSED
from tests.support.checkouts import ROOT, RUN

BASES = ("python:3.11-slim-bookworm", "python:3.11-slim")  # the second may have been made on this machine
LOCKS = Path(tempfile.gettempdir())  # of all runs on this machine
PORT = 8999  # of a folder of packages: part of the layer cache's key


def docker(*arguments: str, check: bool = True, **options: Any) -> "subprocess.CompletedProcess[str]":
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, **options)
    assert not check or done.returncode == 0, f"docker {' '.join(arguments)}: {done.stderr[-2000:]}"
    return done


@cache
def missing() -> str:
    if not shutil.which("docker") or docker("info", check=False).returncode:
        return "no container engine answers: start Docker, or set DOCKER_HOST"
    if not base():
        return f"no base image on this machine: docker pull {BASES[0]}"
    return ""


@cache
def base() -> str:
    return next((name for name in BASES if docker("image", "inspect", name, check=False).returncode == 0), "")


needed = pytest.mark.skipif(bool(missing()), reason=missing())
trains = pytest.mark.skipif(
    bool(missing()) or not any(os.environ.get(name) for name in PASSED),
    reason=missing() or "PIP_EXTRA_INDEX_URL or PIP_FIND_LINKS must say where CPU builds of PyTorch lie",
)


def tag(image: str) -> str:
    return f"roadmap-test/{image}:{RUN}"


def build(image: str, *options: str, name: str = "") -> str:
    """The image of infra/docker, of this checkout."""
    with packages() as given:
        arguments = {"BASE": base(), **given}
        message = [part for key, value in arguments.items() for part in ("--build-arg", f"{key}={value}")]
        file = f"infra/docker/{image}.Dockerfile"
        docker("build", "-q", "-f", file, "-t", tag(name or image), *message, *options, ".", cwd=ROOT)
    return tag(name or image)


def built(image: str) -> str:
    """`build`, once for all test workers."""
    with FileLock(LOCKS / f"roadmap-test-{image}.lock"):
        if docker("image", "inspect", tag(image), check=False).returncode:
            build(image)
    return tag(image)


def readable(folder: Path) -> None:
    """Makes it readable for a container's user; pytest's folders are private."""
    subprocess.run(["chmod", "-R", "a+rX", folder, *folder.parents[:2]], check=True)


def give_back(folder: Path, image: str) -> None:
    """Changes the owner of files that a container wrote as root back to this user."""
    docker(
        "run", "--rm", "--entrypoint", "chmod", "-v", f"{folder}:/given", image, "-R", "a+rwX", "/given", check=False
    )


def remove_images() -> None:
    """Removes the images of this run. Their layers stay in the build cache: `docker image prune` clears them."""
    names = docker("images", "--format", "{{.Repository}}:{{.Tag}}", f"roadmap-test/*:{RUN}", check=False).stdout
    if names:
        docker("rmi", "-f", "--no-prune", *names.split(), check=False)


@contextmanager
def packages() -> Iterator[dict[str, str]]:
    """Build arguments from the environment. Serves a local folder of packages to the builder meanwhile."""
    given = {name: os.environ[name] for name in PASSED if os.environ.get(name)}
    folder = given.get("PIP_FIND_LINKS", "")
    if not Path(folder or "://").is_dir():
        yield given
        return
    subnet = docker("network", "inspect", "-f", "{{(index .IPAM.Config 0).Subnet}}", "bridge").stdout.strip()
    host = str(ipaddress.ip_network(subnet)[1])  # this machine, as containers see it
    files = partial(Files, directory=folder)
    with FileLock(LOCKS / "roadmap-test-packages.lock"), ThreadingHTTPServer((host, PORT), files) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield {**given, "PIP_FIND_LINKS": f"http://{host}:{PORT}", "PIP_TRUSTED_HOST": host}
        server.shutdown()


class Files(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Keeps requests out of the tests' output."""


@contextmanager
def container(image: str, *arguments: str, options: tuple[str, ...] = (), port: int = 8000) -> Iterator["Container"]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        number = free.getsockname()[1]
    name = f"roadmap-test-{uuid.uuid4().hex[:8]}"
    docker("run", "-d", "--name", name, "-p", f"127.0.0.1:{number}:{port}", *options, image, *arguments)
    try:
        yield Container(name, f"http://127.0.0.1:{number}")
    finally:
        docker("rm", "-f", name, check=False)


class Container:
    def __init__(self, name: str, url: str) -> None:
        self.name, self.url = name, url

    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(docker("inspect", self.name).stdout)[0]["State"]
        return found

    def log(self) -> str:
        done = docker("logs", self.name)
        return done.stdout + done.stderr

    def ask(self, path: str, content: Any = None, patience: float = 30.0) -> Any:
        """The response to a GET, or a POST of the content, as soon as there is one."""
        body = None if content is None else json.dumps(content).encode()
        request = urllib.request.Request(self.url + path, body, {"Content-Type": "application/json"})
        until = time.monotonic() + patience
        while True:
            try:
                with urllib.request.urlopen(request, timeout=10) as answer:
                    return json.load(answer)
            except OSError as error:
                if getattr(error, "code", 0) in (400, 404, 422) or time.monotonic() > until:
                    raise AssertionError(f"{path}: {error}; {self.log()[-2000:]}") from None
                time.sleep(0.05)

    def wait(self, seconds: float = 30.0) -> int:
        """Waits for its end; returns the exit code."""
        return int(docker("wait", self.name, timeout=seconds).stdout)
