"""A champion where people ask it: `python -m infra.deploy project=mnist target=server [bundle=<version>]`.

target=server: the server at SERVING_URL (http://127.0.0.1:8000) follows the registry or a folder by itself. Deployed
means that it names the bundle as the version it answers with, and answers the bundle's own example. SERVING_KEY is
sent as its API key.
"""

import json
import os
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from serving.bundle import Bundle, BundleError

PATIENCE = 120.0  # seconds for a server to notice a new champion; it looks every few seconds
TEMPORARY = 75  # EX_TEMPFAIL: nobody answered, which may pass


class DeployError(Exception):
    """What went wrong, in one line, and the exit code."""

    def __init__(self, message: str, code: int = 2) -> None:
        super().__init__(message)
        self.code = code


def ask(path: str, body: Any = None) -> Any:
    url = os.environ.get("SERVING_URL", "http://127.0.0.1:8000").rstrip("/") + path
    headers = {"Content-Type": "application/json"}
    if key := os.environ.get("SERVING_KEY"):
        headers["Authorization"] = f"Bearer {key}"
    data = None if body is None else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=30) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        said = error.read(2000).decode(errors="replace")
        raise DeployError(f"{url}: {error.code}: {said}", TEMPORARY if error.code >= 500 else 2) from None
    except OSError as error:
        raise DeployError(
            f"{url}: nobody answers ({error}); start it with `make serve`, or set SERVING_URL", TEMPORARY
        ) from None


def to_server(project: str, version: str, example: list[dict[str, Any]]) -> str:
    """Waits until the server answers with `version`, then asks it the example."""
    deadline = time.monotonic() + PATIENCE
    while True:
        models = {model["name"]: model for model in ask("/models")["models"]}
        served = models.get(project, {})
        if served.get("version") == version:
            break
        if time.monotonic() > deadline:
            reason = served.get("reason") or "it has not noticed the new one"
            raise DeployError(f"{project}: the server has version {served.get('version')} and not {version}: {reason}")
        time.sleep(1)
    answer = ask(f"/models/{project}/predict", {"inputs": example})
    if answer["model"]["version"] != version or len(answer["outputs"]) != len(example):
        raise DeployError(f"{project}: version {version} was asked and {answer['model']} answered")
    return f"{project}: version {version} answers"


def main() -> None:
    options = dict(argument.partition("=")[::2] for argument in sys.argv[1:])
    if {"-h", "--help"} & set(options) or not {"project", "target"} <= set(options) <= {"project", "target", "bundle"}:
        print(__doc__)
        sys.exit(0 if {"-h", "--help"} & set(options) else 2)
    try:
        if options["target"] != "server":
            raise DeployError(f"target: found {options['target']!r}; allowed: server")
        bundle = Bundle(Path("artifacts") / options["project"] / "bundle")
        print(to_server(options["project"], options.get("bundle") or bundle.manifest.version, bundle.example))
    except (DeployError, BundleError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(getattr(error, "code", 2))


if __name__ == "__main__":
    main()
