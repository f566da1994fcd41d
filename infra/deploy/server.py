"""target=server: the server at SERVING_URL (http://127.0.0.1:8000), which follows the registry or a folder by itself.

Deployed means that it names the bundle as the version it answers with, and answers the bundle's own example.
SERVING_KEY is sent as its API key.
"""

import json
import os
import time
import urllib.error
import urllib.request
from typing import Any

from infra.deploy.target import TEMPORARY, USAGE, DeployError, Options, Plan, Say, checked
from serving.bundle import Bundle

PATIENCE = 120.0  # seconds for a server to notice a new champion; it looks every few seconds


def ask(url: str, body: Any, nobody: str, **headers: str) -> Any:
    """The JSON that a server answers, to a POST where there is a body.

    Args:
        nobody: what to do where none answers.

    Raises:
        DeployError
    """
    headers = {"Content-Type": "application/json", **headers}
    if key := os.environ.get("SERVING_KEY"):
        headers["Authorization"] = f"Bearer {key}"
    data = None if body is None else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=30) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        said = error.read(2000).decode(errors="replace")
        raise DeployError(f"{url}: {error.code}: {said}", TEMPORARY if error.code >= 500 else USAGE) from None
    except OSError as error:
        raise DeployError(f"{url}: nobody answers ({error}); {nobody}", TEMPORARY) from None


class Server:
    def __init__(self, options: Options) -> None:
        self.project = options.project
        self.url = os.environ.get("SERVING_URL", "http://127.0.0.1:8000").rstrip("/")

    def ask(self, path: str, body: Any = None) -> Any:
        return ask(self.url + path, body, "start it with `make serve`, or set SERVING_URL")

    def model(self) -> dict[str, Any]:
        found: dict[str, dict[str, Any]] = {model["name"]: model for model in self.ask("/models")["models"]}
        return found.get(self.project, {})

    def serving(self) -> str | None:
        return self.model().get("version")

    def plan(self, bundle: Bundle) -> Plan:
        return Plan(
            [f"{self.url}: {self.serving()} -> {bundle.manifest.version}, taken from the registry by itself"], {}
        )

    def roll_out(self, bundle: Bundle, say: Say) -> None:
        version, deadline = bundle.manifest.version, time.monotonic() + PATIENCE
        while (served := self.model()).get("version") != version:
            if time.monotonic() > deadline:
                reason = served.get("reason") or "it has not noticed the new one"
                raise DeployError(
                    f"{self.project}: the server has version {served.get('version')} and not {version}: {reason}"
                )
            time.sleep(1)
        checked(self.ask(f"/models/{self.project}/predict", {"inputs": bundle.example}), bundle)
        say(f"{self.url} has noticed it")

    def roll_back(self, version: str, say: Say) -> None:
        raise DeployError(
            f"this server follows the registry: `python -m pipelines.register project={self.project} rollback=true`"
        )

    def destroy(self, say: Say) -> None:
        raise DeployError("this server is not ours to take away; stop the process")


def open(options: Options) -> Server:
    return Server(options)
