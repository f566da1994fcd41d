"""The pods of a Deployment: readiness, permanent failures, error rates."""

import re
import time

from infra.deploy.target import DeployError, Say
from infra.deploy.targets.kubectl import Kubectl, NotFound
from roadmap.io.errors import TEMPORARY
from roadmap.io.json import JsonObject

POLL_SECONDS = 1.0  # seconds between polls
HOPELESS = ("InvalidImageName", "ImagePullBackOff", "CreateContainerConfigError", "CrashLoopBackOff")
FAILURES = 5, 0.01  # 5xx responses: more than this number, and this fraction
ANSWERS = re.compile(r'^serving_requests_total{.*status="(\d+)".*} ([\d.e+]+)$', re.MULTILINE)


def config_of(spec: JsonObject) -> str:
    """The name of the ConfigMap with the pod's bundle."""
    sources = spec["initContainers"][0]["envFrom"]
    return next(str(one["configMapRef"]["name"]) for one in sources if not one["configMapRef"].get("optional"))


def pods(cluster: Kubectl, name: str) -> list[JsonObject]:
    """The pods of the Deployment's current template."""
    try:
        spec = cluster.get("apis/apps/v1", "deployments", name)["spec"]
    except NotFound:
        return []
    found = cluster.get("api/v1", "pods", labels=spec["selector"]["matchLabels"])["items"]
    wanted = config_of(spec["template"]["spec"])
    return [one for one in found if config_of(one["spec"]) == wanted and "deletionTimestamp" not in one["metadata"]]


def wait(cluster: Kubectl, name: str, seconds: float, say: Say) -> None:
    """Waits until all pods are of the current template and ready; prints progress.

    Raises:
        DeployError: they can't become ready; TEMPORARY on timeout.
    """
    deadline, last = time.monotonic() + seconds, ""
    while True:
        deployment = cluster.get("apis/apps/v1", "deployments", name)
        status, wanted = deployment.get("status", {}), deployment["spec"].get("replicas", 1)
        counts = [status.get(key, 0) for key in ("replicas", "updatedReplicas", "availableReplicas")]
        if status.get("observedGeneration") == deployment["metadata"]["generation"] and counts == [wanted] * 3:
            return
        for pod in pods(cluster, name) if wanted else []:
            if why := hopeless(cluster, pod):
                raise DeployError(why, 1)
        if (line := f"{name}: {min(counts[1:])} of {wanted} pods ready") != last:
            say(last := line)
        if time.monotonic() > deadline:
            refused = [one["message"] for one in status.get("conditions", []) if one["type"] == "ReplicaFailure"]
            raise DeployError(
                f"{name}: {counts[2]} of {wanted} pods are ready after {seconds:.0f} s"
                + "".join(f": {one}" for one in refused),
                TEMPORARY,
            )
        time.sleep(POLL_SECONDS)


def hopeless(cluster: Kubectl, pod: JsonObject) -> str | None:
    """Why the pod can't become ready, if known."""
    status, name = pod["status"], pod["metadata"]["name"]
    for container in [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]:
        state = container["state"]
        ended = state.get("terminated") or container.get("lastState", {}).get("terminated") or {}
        waiting = state.get("waiting", {})
        refused = container["name"] == "bundle" and ended.get("exitCode") == 2
        if refused or waiting.get("reason") in HOPELESS:
            last = cluster.log(name, container["name"]) or waiting.get("message", "")
            return f"{name}, container {container['name']}: {last or waiting.get('reason')}"
    return None


def failing(cluster: Kubectl, name: str) -> list[str]:
    """Restarts, unready pods, and the fraction of 5xx responses by the pods' own metrics."""
    going, answered, failed = [], 0.0, 0.0
    for pod in pods(cluster, name):
        one = pod["metadata"]["name"]
        for container in pod["status"].get("containerStatuses", []):
            if container["restartCount"]:
                going.append(f"{one} was restarted, {container['restartCount']} times so far")
            elif not container["ready"]:
                going.append(f"{one} is not ready")
        if going:
            continue
        try:
            counts = ANSWERS.findall(cluster.ask(f"pods/{one}:8000", "/metrics"))
        except DeployError as error:
            going.append(f"{one} is unreachable: {error}")
            continue
        answered += sum(float(count) for _, count in counts)
        failed += sum(float(count) for status, count in counts if status.startswith("5"))
    if failed > FAILURES[0] and failed > FAILURES[1] * answered:
        going.append(f"{failed:.0f} of {answered:.0f} responses of {name} were server errors (5xx)")
    return going
