"""A server that polls the registry's champion, or a folder.

Deployed means that it reports the bundle's version and passes the smoke test.
"""

import json
import os
import time
from collections.abc import Callable

from infra.deploy.registry import rollback
from infra.deploy.target import DeployError, Options, Plan, Say, checked
from roadmap.bundle import Bundle
from roadmap.io import http
from roadmap.io.errors import TEMPORARY, USAGE
from roadmap.io.json import JsonObject

PATIENCE = 120.0  # seconds for a server to notice a change; it polls every few seconds


def ask(url: str, body: object, nobody: str, **headers: str) -> JsonObject:
    """The parsed JSON of `read`."""
    return json.loads(read(url, body, nobody, **headers))


def read(url: str, body: object, nobody: str, **headers: str) -> bytes:
    """The response of a server; to a POST if there is a body.

    Args:
        nobody: the remedy if it is unreachable.

    Raises:
        DeployError: it is unreachable or answers with an error; TEMPORARY if a retry may succeed.
    """
    if key := os.environ.get("SERVING_KEY"):
        headers["Authorization"] = f"Bearer {key}"
    try:
        return http.ask(url, body, headers=headers).content
    except http.HttpError as error:
        hint = f"; {nobody}" if error.status is None else ""
        raise DeployError(f"{error}{hint}", TEMPORARY if error.passing else USAGE) from None


class ServerTarget:
    """Follows the champion."""

    def __init__(self, options: Options) -> None:
        self.options, self.project = options, options.project
        self.url = os.environ.get("SERVING_URL", "http://127.0.0.1:8000").rstrip("/")

    def serving(self) -> str | None:
        return self.model().get("version")

    def before(self) -> str | None:
        """The version to roll back to, from the registry."""
        return rollback.previous_version(self.project)

    def plan(self, bundle: Bundle) -> Plan:
        return Plan([f"{self.url}: {self.serving()} -> {bundle.manifest.version}, by polling the registry"], {})

    def roll_out(self, bundle: Bundle, say: Say) -> None:
        self.follow(bundle.manifest.version)
        checked(self.ask(f"/models/{self.project}/predict", {"inputs": bundle.example}), bundle)
        say(f"{self.url} has noticed it")

    def roll_back(self, version: str, say: Say) -> None:
        rollback.move_alias(self.project, version, say)
        self.follow(version)
        say(f"{self.url} has noticed it")

    def destroy(self, say: Say) -> None:
        raise DeployError("this server is not managed here; stop its process")

    # ---------------------------------------------------------------- HTTP

    def follow(self, version: str) -> None:
        """
        Raises:
            DeployError: it does not serve this version within PATIENCE seconds.
        """
        self.until(
            lambda: self.serving() == version,
            lambda: (
                f"server: found version {self.serving()}; expected {version}:  "
                f"{self.model().get('reason') or 'it has not noticed the change'}"
            ),
        )

    def until(self, ready: Callable[[], bool], otherwise: Callable[[], str]) -> None:
        """Waits until `ready`, PATIENCE seconds at most.

        Raises:
            DeployError: it takes longer; `otherwise` says what was found.
        """
        deadline = time.monotonic() + PATIENCE
        while not ready():
            if time.monotonic() > deadline:
                raise DeployError(f"{self.project}: {otherwise()}")
            time.sleep(0.5)

    def model(self) -> JsonObject:
        """The server's card of the project; empty if it has none."""
        found: dict[str, JsonObject] = {model["name"]: model for model in self.ask("/models")["models"]}
        return found.get(self.project, {})

    def ask(self, path: str, body: object = None, **headers: str) -> JsonObject:
        return json.loads(self.read(path, body, **headers))

    def read(self, path: str, body: object = None, **headers: str) -> bytes:
        return read(self.url + path, body, "start it with `make serve`, or set SERVING_URL", **headers)
