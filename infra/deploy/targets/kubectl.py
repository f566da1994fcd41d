"""The cluster through kubectl, which supports all authentication methods of a kubeconfig and renders infra/k8s."""

import json
import subprocess

import yaml

from infra.deploy.target import DeployError
from roadmap.io.errors import TEMPORARY
from roadmap.io.json import JsonObject

PATIENCE = 30  # seconds per call
PASSING = ("Unable to connect", "was refused", "i/o timeout", "TooManyRequests", "ServiceUnavailable",
           "InternalError", "Timeout", "context deadline exceeded", "Conflict", "EOF")  # fmt: skip


class NotFound(DeployError):
    """The object does not exist."""


class Kubectl:
    """One namespace. `flags` select the cluster, if other than the kubeconfig's current one.

    Every method raises `DeployError`; with code TEMPORARY if the cluster was unreachable or busy.
    """

    def __init__(self, namespace: str, flags: list[str]) -> None:
        self.namespace, self.flags = namespace, flags

    def get(self, group: str, kind: str, name: str = "", labels: dict[str, str] | None = None) -> JsonObject:
        """An object, or all with these labels. `group`: apis/apps/v1, api/v1."""
        path = f"/{group}/namespaces/{self.namespace}/{kind}" + (f"/{name}" if name else "")
        if labels:
            path += "?labelSelector=" + "%2C".join(f"{key}%3D{value}" for key, value in labels.items())
        return json.loads(self.run("get", "--raw", path))

    def ask(self, where: str, path: str, body: object = None) -> str:
        """The response of services/<name>:<port> or pods/<name>:<port>, through the API server's proxy."""
        path = f"/api/v1/namespaces/{self.namespace}/{where}/proxy{path}"
        if body is None:
            return self.run("get", "--raw", path)
        return self.run("create", "--raw", path, "-f", "-", given=json.dumps(body))

    def apply(self, manifests: list[JsonObject]) -> None:
        """Server-side apply, which keeps fields owned by others, such as an autoscaler."""
        self.run(
            "apply", "--server-side", "--field-manager=roadmap", "--force-conflicts", "--validate=false", "-f", "-",
            given=yaml.safe_dump_all(manifests),
        )  # fmt: skip

    def delete(self, kind: str, names: list[str]) -> None:
        if names:
            self.run("delete", kind, *names, "--ignore-not-found", "--wait=false", "-n", self.namespace)

    def log(self, pod: str, container: str) -> str:
        """The last line of its log; empty if unavailable."""
        try:
            path = f"/api/v1/namespaces/{self.namespace}/pods/{pod}/log?container={container}&tailLines=1"
            return self.run("get", "--raw", path).strip()
        except DeployError:
            return ""

    def run(self, *command: str, given: str | None = None) -> str:
        """The output of kubectl; `given` is its input.

        Raises:
            NotFound: the object does not exist.
            DeployError: any other failure.
        """
        arguments = ["kubectl", f"--request-timeout={PATIENCE}s", *self.flags, *command]
        try:
            done = subprocess.run(arguments, input=given, capture_output=True, text=True, timeout=4 * PATIENCE)
        except FileNotFoundError:
            raise DeployError("found no kubectl; install 1.27 or newer") from None
        except subprocess.TimeoutExpired:
            raise DeployError(f"kubectl {command[0]}: timed out after {4 * PATIENCE} s", TEMPORARY) from None
        if done.returncode == 0:
            return done.stdout
        message = " ".join(done.stderr.split()).removeprefix("Error from server ")
        if message.startswith("(NotFound)"):
            raise NotFound(f"kubectl: {message}")
        if "Unauthorized" in message or "must be logged in" in message or "getting credentials" in message:
            raise DeployError(
                f"kubectl: {message}; the credentials are missing or have expired; sign in to the cluster"
            )
        if "Forbidden" in message:
            raise DeployError(f"kubectl: {message}; infra/k8s/README.md lists the deployer's permissions")
        raise DeployError(f"kubectl: {message[:600]}", TEMPORARY if any(one in message for one in PASSING) else 2)
