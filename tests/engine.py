"""A container engine for the tests that need one, and what to do with it. Without one they skip and say so."""

import json
import os
import shutil
import socket
import subprocess
import time
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from filelock import FileLock

BASES = ("python:3.11-slim-bookworm", "python:3.11-slim")  # the second may have been made on this machine


def docker(*arguments: str, check: bool = True, **options: Any) -> "subprocess.CompletedProcess[str]":
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, **options)
    assert not check or done.returncode == 0, f"docker {' '.join(arguments)}: {done.stderr[-2000:]}"
    return done


def missing() -> str:
    if not shutil.which("docker") or docker("info", check=False).returncode:
        return "no container engine answers: start Docker, or set DOCKER_HOST"
    if not base():
        return f"no base image on this machine: docker pull {BASES[0]}"
    return ""


def base() -> str:
    return next((name for name in BASES if docker("image", "inspect", name, check=False).returncode == 0), "")


needed = pytest.mark.skipif(bool(missing()), reason=missing())


def built(image: str, scratch: Path) -> str:
    """The image of this checkout, built once for all test workers."""
    with FileLock(scratch / f"{image}.lock"):
        run = os.environ.get("PYTEST_XDIST_TESTRUNUID") or uuid.uuid4().hex
        name, marker = f"roadmap-test/{image}", scratch / f"{image}-{run}.built"
        if not marker.exists():
            extra = ["--build-arg", f"PIP_EXTRA_INDEX_URL={os.environ.get('PIP_EXTRA_INDEX_URL', '')}"]
            file = f"infra/docker/{image}.Dockerfile"
            docker("build", "-q", "-f", file, "-t", name, "--build-arg", f"BASE={base()}", *extra, ".", cwd=ROOT)
            marker.touch()
    return name


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
        """What a GET, or a POST of the content, is answered with, as soon as somebody answers."""
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
        """The exit code, once it has ended."""
        return int(docker("wait", self.name, timeout=seconds).stdout)
